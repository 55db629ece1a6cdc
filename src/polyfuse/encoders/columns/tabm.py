"""Several light members in one network over all columns of a row: nearly free, steadier than one on noisy small tables.

Gorishniy et al., TabM: Advancing tabular deep learning with parameter-efficient ensembling, ICLR 2025; members share
their matrices up to rank-1 adapters: Wen et al., BatchEnsemble, ICLR 2020. Fusions and heads see one token, so members
cannot be judged one by one behind them. They differ all the same, because in training each row goes through one member
drawn at random, as each example has one member in BatchEnsemble; afterwards the members' tokens are averaged.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers.embedding import Categories, OneHot, Pieces
from polyfuse.layers.masking import Values
from polyfuse.records import Spec, Tokens


class Adapted(nn.Module):
    """A linear layer whose members scale what goes in and what comes out: (B, K, I), members -> (B, K, O).

    Args:
        signs: members differ from the start by random signs of what goes in.
    """

    def __init__(self, size: int, width: int, members: int, *, signs: bool = False):
        super().__init__()
        self.linear = nn.Linear(size, width)
        first_KI = torch.randint(2, (members, size)) * 2.0 - 1 if signs else torch.ones(members, size)
        self.into_KI, self.out_KO = nn.Parameter(first_KI), nn.Parameter(torch.ones(members, width))

    def forward(self, x_BKI: Tensor, member: Tensor | slice) -> Tensor:
        """``member`` picks adapters: one per row (B, 1), or all."""
        return self.linear(x_BKI * self.into_KI[member]) * self.out_KO[member]


class Layer(nn.Module):
    """A residual layer: normalised, widened by an adapted layer, GELU, dropout, and back."""

    def __init__(self, width: int, members: int, dropout: float):
        super().__init__()
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(dropout)
        self.widen, self.back = Adapted(width, 2 * width, members), nn.Linear(2 * width, width)

    def forward(self, x_BKD: Tensor, member: Tensor | slice) -> Tensor:
        """Shapes: (B, K, D) -> (B, K, D)."""
        return x_BKD + self.back(self.drop(F.gelu(self.widen(self.norm(x_BKD), member))))


class TabM(nn.Module):
    """An average of light members that share their weights: robust on small and noisy tables, as fast as ``mlp``.

    Args:
        numbers: columns of numbers.
        categories: number of categories of each column of categories.
        quantiles: of each number over training, evenly spaced.
        frequent: per column of categories, those that ``features`` tells apart.
        owners, flags: which column each number is of, and how many say that one is missing; see ``Values``.
        width: of the token and of the hidden layers.
        depth: residual layers.
        dropout: in residual layers, in training; half as often a whole category is hidden, as one never seen would be.
        category_width: numbers that stand for one category.
        pieces: into which the range of each number is cut at quantiles, so that the linear path can bend; 0 for none.
        members: light networks in one.

    See also:
        ``mlp``, a single one; ``ft_transformer`` where columns interact with other inputs one by one.
    """

    paper = "Gorishniy et al., TabM: Advancing tabular deep learning with parameter-efficient ensembling, ICLR 2025"

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
        members: int = 8,
    ):
        super().__init__()
        self.values = Values(numbers, categories, owners, flags)
        if members < 1:
            raise ValueError(f"members={members}: expected 1 or more")
        self.width, self.hidden, self.members = width, dropout / 2, members
        self.known = OneHot(categories, frequent)
        self.pieces = Pieces(quantiles or [], pieces) if pieces else None
        self.categories = Categories(categories, category_width)
        size = (self.pieces.size if self.pieces else numbers) + category_width * len(categories)
        self.linear, self.enter = nn.Linear(size, width), Adapted(size, width, members, signs=True)
        self.layers = nn.ModuleList(Layer(width, members, dropout) for _ in range(depth))
        self.own_KD = nn.Parameter(torch.randn(members, width) * 0.02)

    def masking(self) -> Values:
        """Values of columns can be hidden."""
        return self.values

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``numbers`` (U, N), ``categories`` (U, C) -> one token (U, 1, D)."""
        named_UCE = self.categories(fields["categories"])
        if self.training and self.hidden:
            named_UCE = named_UCE * (torch.rand_like(named_UCE[..., :1]) >= self.hidden)
        numbers_UN = self.pieces(fields["numbers"]) if self.pieces else fields["numbers"]
        x_U1E = torch.cat([numbers_UN, named_UCE.flatten(1)], 1)[:, None]
        member = self._drawn(x_U1E) if self.training else slice(None)
        hidden_UKD = self.enter(x_U1E, member)
        for layer in self.layers:
            hidden_UKD = layer(hidden_UKD, member)
        token_U1D = (hidden_UKD + self.own_KD[member]).mean(1, keepdim=True)
        return Tokens(self.linear(x_U1E) + token_U1D, present_B[:, None])

    def _drawn(self, x_U1E: Tensor) -> Tensor:
        return torch.randint(self.members, x_U1E.shape[:2], device=x_U1E.device)

    def features(self, fields: dict[str, Tensor]) -> Tensor:
        """What is known before any training: numbers as they are, categories one-hot (U, F); an unseen one is all 0."""
        return self.known(fields["numbers"], fields["categories"])
