"""Mean of towers: each input has an MLP of its own, and the present ones are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polyfuse.layers.attention import FeedForward
from polyfuse.layers.pooling import masked_mean
from polyfuse.records import Fused, Tokens


class Mean(nn.Module):
    """Each input through its own tower, averaged over the inputs that are present.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        depth: feed-forward layers per tower; 0 averages the pooled inputs as they are.
        dropout: inside the towers, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    See also: ``concat`` where inputs must be combined rather than voted; the mean degrades most gently when inputs
    are missing.
    """

    paper = ""

    def __init__(self, inputs: Sequence[str], width: int, *, depth: int = 1, dropout: float = 0.1):
        super().__init__()
        self.inputs = tuple(inputs)
        self.towers = nn.ModuleList(
            nn.ModuleList(nn.Sequential(nn.LayerNorm(width), FeedForward(width, dropout=dropout)) for _ in range(depth))
            for _ in self.inputs
        )

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        towers_BMD = []
        for name, tower in zip(self.inputs, self.towers, strict=True):
            x_BD = masked_mean(tokens[name].x_BTD, tokens[name].mask_BT)
            for layer in tower:  # type: ignore[attr-defined]
                x_BD = x_BD + layer(x_BD)
            towers_BMD.append(x_BD)
        present_BM = torch.stack([tokens[name].present_B for name in self.inputs], 1)
        x_BD = masked_mean(torch.stack(towers_BMD, 1), present_BM)
        return Fused(Tokens(x_BD[:, None], present_BM.any(1, keepdim=True)), dict(tokens))
