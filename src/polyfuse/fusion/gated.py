"""Gated multimodal unit: every dimension decides, from all inputs, which input it listens to. Arevalo et al., 2017."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyfuse.layers.inputs import NormedMeans, linear, one_token
from polyfuse.records import Fused, Tokens


class Gated(nn.Module):
    """sum_i z_i * tanh(W_i x_i), where z is, per dimension, a softmax over inputs of scores U[x1; ..; xN].

    The last input's score is fixed at 0, which loses nothing, and makes two inputs the paper's unit exactly:
    z * tanh(W x) + (1 - z) * tanh(V y) with z = sigmoid(U[x; y]). Absent inputs are left out of the softmax, so the
    gates of the present ones sum to 1. Pooled inputs are normalised first, so that tanh starts in its range.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        dropout: of the normalised inputs, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    See also: ``experts``, whose gate chooses among whole networks; ``concat`` where no input is noise.
    """

    paper = "Arevalo et al.: Gated multimodal units, ICLR workshop 2017"

    def __init__(self, inputs: Sequence[str], width: int, *, dropout: float = 0.1):
        super().__init__()
        self.inputs = tuple(inputs)
        count = len(self.inputs)
        self.pool, self.drop = NormedMeans(self.inputs, width), nn.Dropout(dropout)
        self.values = nn.ModuleList(linear(width, width) for _ in self.inputs)
        # a single input is always listened to, so there is no gate to learn
        self.gate = nn.Linear(count * width, (count - 1) * width, bias=False) if count > 1 else None

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled_BMD, present_BM = self.pool(tokens)
        pooled_BMD = self.drop(pooled_BMD)
        values = [layer(x_BD).tanh() for layer, x_BD in zip(self.values, pooled_BMD.unbind(1), strict=True)]
        values_BMD = torch.stack(values, 1)
        return one_token((self.gates(pooled_BMD, present_BM) * values_BMD).sum(1), present_BM, tokens)

    def gates(self, pooled_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """z of each input and dimension; sums to 1 over the present inputs, 0 elsewhere: -> (B, M, D)."""
        score_BMD = torch.zeros_like(pooled_BMD)
        if self.gate is not None:
            free_BMD = self.gate(pooled_BMD.flatten(1)).unflatten(-1, (-1, pooled_BMD.shape[-1]))
            score_BMD = torch.cat([free_BMD, torch.zeros_like(free_BMD[:, :1])], 1)
        present_BM1 = present_BM[..., None]
        score_BMD = score_BMD.masked_fill(~present_BM1, -1e4)
        return score_BMD.softmax(1) * present_BM1.to(score_BMD.dtype)
