"""Hierarchical fusion: a joint vector refined level by level, each level reading all inputs again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyfuse.layers.inputs import mean_tokens, one_token
from polyfuse.records import Fused, Tokens


class _Level(nn.Module):
    """f(z, x1..xN) = z + MLP([z; x1; ..; xN])."""

    def __init__(self, width: int, joined: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width + joined)
        self.hidden, self.drop = nn.Linear(width + joined, 2 * width), nn.Dropout(dropout)
        self.out = nn.Linear(2 * width, width)

    def forward(self, z_BD: Tensor, joined_BX: Tensor) -> Tensor:
        """Joint vector and joined inputs -> joint vector."""
        hidden_BX = nn.functional.gelu(self.hidden(self.norm(torch.cat([z_BD, joined_BX], -1))))
        return z_BD + self.out(self.drop(hidden_BX))


class Hierarchical(nn.Module):
    """z0 = f0(x1..xN), then z(l+1) = f(l+1)(z(l), x1..xN): every level reads all inputs beside what was fused so far.

    f0 is linear; an absent input contributes zeros.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        depth: levels after f0, at least 1.
        dropout: inside the levels, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    See also: ``concat``, one level, which is enough on a few hundred rows.
    """

    paper = "Perez-Rua et al.: MFAS, CVPR 2019"

    def __init__(self, inputs: Sequence[str], width: int, *, depth: int = 2, dropout: float = 0.1):
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth: expected at least 1, found {depth}; sum with depth 0 is the linear fusion")
        self.inputs = tuple(inputs)
        joined = width * len(self.inputs)
        self.first = nn.Linear(joined, width)
        self.levels = nn.ModuleList(_Level(width, joined, dropout) for _ in range(depth))

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled_BMD, present_BM = mean_tokens(tokens, self.inputs)
        joined_BX = pooled_BMD.flatten(1)
        z_BD = self.first(joined_BX)
        for level in self.levels:
            z_BD = level(z_BD, joined_BX)
        return one_token(z_BD, present_BM, tokens)
