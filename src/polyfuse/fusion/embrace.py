"""EmbraceNet: every dimension is taken from one present input, drawn at random. Choi and Lee, 2019."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyfuse.layers.attention import FeedForward
from polyfuse.layers.inputs import NormedMeans, linear, one_token
from polyfuse.records import Fused, Tokens


class Embrace(nn.Module):
    """Each input docked, d_i = relu(W_i x_i), then every dimension taken from one of the present inputs, then a trunk.

    In training the input is drawn per row and dimension, all present ones with equal chance. Otherwise the draw is
    replaced by its expected value, the mean of the present d_i: deterministic, and exportable.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        depth: layers of the trunk.
        dropout: inside the trunk, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    See also: ``late`` with the mean, without the noise, on small tables; ``embrace`` is for tables where any input may
    be missing when the model is used.
    """

    paper = "Choi, Lee: EmbraceNet, Information Fusion 2019"

    def __init__(self, inputs: Sequence[str], width: int, *, depth: int = 1, dropout: float = 0.1):
        super().__init__()
        self.inputs = tuple(inputs)
        self.pool = NormedMeans(self.inputs, width)
        self.dock = nn.ModuleList(linear(width, width, scale=2**0.5) for _ in self.inputs)
        self.trunk = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), FeedForward(width, dropout=dropout)) for _ in range(depth)
        )

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled_BMD, present_BM = self.pool(tokens)
        docked = [dock(x_BD).relu() for dock, x_BD in zip(self.dock, pooled_BMD.unbind(1), strict=True)]
        docked_BMD = torch.stack(docked, 1)
        x_BD = (docked_BMD * self.shares(docked_BMD, present_BM)).sum(1)
        for layer in self.trunk:
            x_BD = x_BD + layer(x_BD)
        return one_token(x_BD, present_BM, tokens)

    def shares(self, docked_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """How much of each dimension comes from each input: all from one in training, equal parts else (B, M, D)."""
        present_BMD = present_BM[..., None].expand_as(docked_BMD)
        if self.training:
            # the highest of independent uniform draws is each with equal chance
            draw_BMD = torch.rand(docked_BMD.shape, device=docked_BMD.device).masked_fill(~present_BMD, -1.0)
            taken_BMD = torch.zeros_like(docked_BMD).scatter(1, draw_BMD.argmax(1, keepdim=True), 1.0)
            return taken_BMD * present_BMD
        return present_BMD / present_BMD.sum(1, keepdim=True).clamp_min(1)
