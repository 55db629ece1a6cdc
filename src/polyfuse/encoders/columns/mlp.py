"""All numbers and categories of a row as one token: a linear path beside a residual MLP, robust on small tables.

Gorishniy et al., Revisiting deep learning models for tabular data, NeurIPS 2021 (ResNet for tables); the linear path:
Cheng et al., Wide and deep learning for recommender systems, 2016; pieces of numbers: Gorishniy et al., On embeddings
for numerical features in tabular deep learning, NeurIPS 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers.attention import FeedForward
from polyfuse.layers.embedding import Categories, OneHot, Pieces
from polyfuse.layers.masking import Values
from polyfuse.records import Spec, Tokens


class MLP(nn.Module):
    """A linear path beside a residual MLP over all columns of a row; the strong default, down to hundreds of rows.

    Args:
        numbers: columns of numbers.
        categories: number of categories of each column of categories.
        quantiles: of each number over training, evenly spaced.
        frequent: per column of categories, those that ``features`` tells apart.
        owners, flags: which column each number is of, and how many say that one is missing; see ``Values``.
        width: of the token and of the hidden layers.
        depth: residual layers; 0 is linear.
        dropout: in residual layers, in training; half as often a whole category is hidden, as one never seen would be.
        category_width: numbers that stand for one category.
        pieces: into which the range of each number is cut at quantiles, so that the linear path can bend; 0 for none.

    See also:
        ``tabm`` for several light members in one network;
        ``ft_transformer`` for many rows, or where columns interact with other inputs one by one.
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
        depth: int = 1,
        dropout: float = 0.2,
        category_width: int = 8,
        pieces: int = 0,
    ):
        super().__init__()
        self.values = Values(numbers, categories, owners, flags)
        self.width, self.hidden = width, dropout / 2
        self.known = OneHot(categories, frequent)
        self.pieces = Pieces(quantiles or [], pieces) if pieces else None
        self.categories = Categories(categories, category_width)
        size = (self.pieces.size if self.pieces else numbers) + category_width * len(categories)
        self.linear, self.enter = nn.Linear(size, width), nn.Linear(size, width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), FeedForward(width, dropout=dropout)) for _ in range(depth)
        )

    def masking(self) -> Values:
        """Values of columns can be hidden."""
        return self.values

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``numbers`` (U, N), ``categories`` (U, C) -> one token (U, 1, D)."""
        named_UCE = self.categories(fields["categories"])
        if self.training and self.hidden:
            named_UCE = named_UCE * (torch.rand_like(named_UCE[..., :1]) >= self.hidden)
        numbers_UN = self.pieces(fields["numbers"]) if self.pieces else fields["numbers"]
        x_UE = torch.cat([numbers_UN, named_UCE.flatten(1)], 1)
        hidden_UD = self.enter(x_UE)
        for layer in self.layers:
            hidden_UD = hidden_UD + layer(hidden_UD)
        return Tokens((self.linear(x_UE) + hidden_UD)[:, None], present_B[:, None])

    def features(self, fields: dict[str, Tensor]) -> Tensor:
        """What is known before any training: numbers as they are, categories one-hot (U, F); an unseen one is all 0."""
        return self.known(fields["numbers"], fields["categories"])
