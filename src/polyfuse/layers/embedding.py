"""Learned vectors for the numbers and categories of a row, one per column: what encoders of columns begin with.

Gorishniy et al., Revisiting deep learning models for tabular data, NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn


class Numbers(nn.Module):
    """Each number times a vector of its column, plus another: (B, N) -> (B, N, D)."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.scale_ND = nn.Parameter(torch.randn(count, width) * width**-0.5)
        self.shift_ND = nn.Parameter(torch.randn(count, width) * width**-0.5)

    def forward(self, numbers_BN: Tensor) -> Tensor:
        """Shapes: (B, N) -> (B, N, D)."""
        return numbers_BN[..., None] * self.scale_ND + self.shift_ND


class Categories(nn.Module):
    """A vector for each category of each column, from one table: (B, C) -> (B, C, D).

    Args:
        sizes: number of categories of each column, C of them.
        width: D.
        scale: standard deviation at the start. Small where a category that training never shows must say little.
    """

    starts_C: Tensor

    def __init__(self, sizes: Sequence[int], width: int, *, scale: float = 0.1):
        super().__init__()
        self.table = nn.Embedding(sum(sizes), width)
        nn.init.normal_(self.table.weight, std=scale)
        starts = torch.tensor([0, *accumulate(sizes)][: len(sizes)], dtype=torch.int64)
        self.register_buffer("starts_C", starts, persistent=False)

    def forward(self, ids_BC: Tensor) -> Tensor:
        """Shapes: (B, C) -> (B, C, D)."""
        return self.table(ids_BC + self.starts_C)
