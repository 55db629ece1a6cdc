"""Numbers and categories of a row as what encoders of columns begin with: learned vectors, pieces, one-hot features.

Gorishniy et al., Revisiting deep learning models for tabular data, NeurIPS 2021. Pieces: Gorishniy et al., On
embeddings for numerical features in tabular deep learning, NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
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


class Pieces(nn.Module):
    """Each number also as how far it has come through each piece of its range: (B, N) -> (B, N + P).

    A linear layer behind it can bend at the quantiles of training. A piece goes from -1, left of it, to 1, right of it.

    Args:
        quantiles: of each number over training rows, ascending and evenly spaced; N lists of one length.
        count: pieces of one number; a number of few values has fewer.

    Raises:
        ValueError: ``count`` below 2.
    """

    of_P: Tensor
    start_P: Tensor
    length_P: Tensor

    def __init__(self, quantiles: Sequence[Sequence[float]], count: int):
        if count < 2:
            raise ValueError(f"pieces={count}: expected 0 for none, or 2 or more; one piece is the number itself")
        super().__init__()
        of, start, length = [], [], []
        for number, levels in enumerate(quantiles):
            edges = np.unique(np.asarray(levels)[np.linspace(0, len(levels) - 1, count + 1).round().astype(int)])
            if len(edges) > 2:  # a flag is one piece, and needs no other
                of += [number] * (len(edges) - 1)
                start += edges[:-1].tolist()
                length += np.diff(edges).tolist()
        self.size = len(quantiles) + len(of)
        self.register_buffer("of_P", torch.tensor(of, dtype=torch.int64), persistent=False)
        self.register_buffer("start_P", torch.tensor(start), persistent=False)
        self.register_buffer("length_P", torch.tensor(length), persistent=False)

    def forward(self, numbers_BN: Tensor) -> Tensor:
        """Shapes: (B, N) -> (B, N + P)."""
        way_BP = ((numbers_BN[:, self.of_P] - self.start_P) / self.length_P).clamp(0, 1)
        return torch.cat([numbers_BN, 2 * way_BP - 1], 1)


class OneHot(nn.Module):
    """Numbers as they are, and a 1 for the category of each column: (B, N), (B, C) -> (B, F); nothing is learnt.

    Args:
        sizes: number of categories of each column.
        kept: per column, the categories that have a feature; 0, a missing one, has one too. Any other is all zeros.
            By default the first 200 that training showed.
    """

    column_F: Tensor
    category_F: Tensor

    def __init__(self, sizes: Sequence[int], kept: Sequence[Sequence[int]] | None = None):
        super().__init__()
        kept = [range(2, min(size, 202)) for size in sizes] if kept is None else kept
        places = [(column, category) for column, ids in enumerate(kept) for category in (0, *ids)]
        self.register_buffer("column_F", torch.tensor([c for c, _ in places], dtype=torch.int64), persistent=False)
        self.register_buffer("category_F", torch.tensor([i for _, i in places], dtype=torch.int64), persistent=False)

    def forward(self, numbers_BN: Tensor, ids_BC: Tensor) -> Tensor:
        """Shapes: (B, N), (B, C) -> (B, F)."""
        return torch.cat([numbers_BN, (ids_BC[:, self.column_F] == self.category_F).to(numbers_BN.dtype)], 1)
