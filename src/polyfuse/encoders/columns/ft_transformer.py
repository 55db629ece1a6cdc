"""Columns that attend to each other, one token per column, for tables with many rows.

Gorishniy et al., Revisiting deep learning models for tabular data, NeurIPS 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers.attention import Block
from polyfuse.layers.embedding import Categories, Numbers, OneHot
from polyfuse.layers.masking import Values
from polyfuse.records import Spec, Tokens


class FTTransformer(nn.Module):
    """A transformer with one token per column; fusions and attributions can tell the columns apart.

    Args:
        numbers: columns of numbers.
        categories: number of categories of each column of categories.
        quantiles: of each number over training, evenly spaced.
        frequent: per column of categories, those that ``features`` tells apart.
        owners, flags: which column each number is of, and how many say that one is missing; see ``Values``.
        width: of a token; a multiple of ``heads``.
        depth: blocks.
        heads: attention heads.
        dropout: in blocks, in training.

    See also:
        ``mlp`` below some thousand rows.
    """

    paper = "Gorishniy et al., Revisiting deep learning models for tabular data, NeurIPS 2021"

    @spec_of("numbers", "categories", "quantiles", "frequent", "owners", "flags")
    @staticmethod
    def wants() -> Spec:
        """Standardised numbers and numbered categories."""
        return Spec("columns")

    def __init__(
        self,
        *,
        numbers: int,
        categories: list[int],
        quantiles: list[list[float]] | None = None,
        frequent: list[list[int]] | None = None,
        owners: list[int] | None = None,
        flags: int = 0,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ):
        del quantiles  # it has a vector per number instead
        super().__init__()
        self.values = Values(numbers, categories, owners, flags)
        self.width, self.known = width, OneHot(categories, frequent)
        self.numbers, self.categories = Numbers(numbers, width), Categories(categories, width)
        self.kind = nn.Parameter(torch.randn(len(categories), width) * width**-0.5)
        self.blocks = nn.ModuleList(Block(width, heads=heads, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def masking(self) -> Values:
        """Values of columns can be hidden."""
        return self.values

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``numbers`` (U, N), ``categories`` (U, C) -> one token per column (U, N + C, D)."""
        named_UCD = self.categories(fields["categories"]) + self.kind
        x_UTD = torch.cat([self.numbers(fields["numbers"]), named_UCD], 1)
        mask_UT = present_B[:, None].expand(x_UTD.shape[:2])
        for block in self.blocks:
            x_UTD = block(x_UTD, mask_UT)
        return Tokens(self.norm(x_UTD), mask_UT, grid=(x_UTD.shape[1],))

    def features(self, fields: dict[str, Tensor]) -> Tensor:
        """What is known before any training: numbers as they are, categories one-hot (U, F); an unseen one is all 0."""
        return self.known(fields["numbers"], fields["categories"])
