"""What the alignments share: which inputs are compared, which rows count as the same, vectors of the shared space."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from polyfuse.layers.inputs import named_inputs
from polyfuse.records import Batch, State

Vectors: TypeAlias = dict[str, tuple[Tensor, Tensor]]
"""Input -> its vectors in the shared space (B, E), and where it is present (B,)."""


@dataclass(frozen=True)
class Pair:
    """Two inputs of the rows that have both.

    Args:
        one_PE, two_PE: their vectors.
        same_PP: whether two rows stand for the same thing, each row and itself among them.
        weight_P: of each row, above 0.
    """

    one_PE: Tensor
    two_PE: Tensor
    same_PP: Tensor
    weight_P: Tensor


def aligned_pairs(inputs: Sequence[str], between: Sequence[str] | None, around: str | None) -> list[tuple[str, str]]:
    """Pairs of inputs that are aligned: all of ``between`` with each other, or each with ``around``.

    Args:
        inputs: of the model.
        between: all inputs by default.

    Raises:
        ValueError: an input that is not there, or fewer than two.
    """
    chosen = named_inputs(inputs, between, "between")
    if around is not None and around not in chosen:
        chosen[:0] = named_inputs(inputs, around, "around")
    if len(chosen) < 2:
        raise ValueError(f"an alignment compares inputs: it needs two at least, found {', '.join(chosen) or 'none'}")
    if around is not None:
        return [(around, name) for name in chosen if name != around]
    return list(combinations(chosen, 2))


class PairwiseAlignment(nn.Module):
    """An objective that is the mean over pairs of inputs of one loss; subclasses say what that is.

    Args:
        inputs: names of the inputs.
        between, around: as for ``aligned_pairs``.
        key: column whose equal values make rows the same thing.
    """

    aligning = True  # what is trained is a space that inputs share

    def __init__(
        self, inputs: Sequence[str], between: Sequence[str] | None, around: str | None, key: str | None = None
    ):
        super().__init__()
        self.pairs, self.key = aligned_pairs(inputs, between, around), key

    @property
    def aligns(self) -> list[str]:
        """Inputs that need a vector in the shared space."""
        return list(dict.fromkeys(name for pair in self.pairs for name in pair))

    def represent(self, state: State) -> Vectors:
        """The inputs' vectors in the shared space."""
        return input_vectors(state, self.aligns)

    def loss(self, judged: Vectors, batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar: the mean over pairs of inputs."""
        del heads
        return torch.stack([self.of(pair) for pair in pairs_of_rows(judged, self.pairs, batch, self.key)]).mean()

    @abstractmethod
    def of(self, pair: Pair) -> Tensor:
        """Scalar: the loss of two inputs over the rows that have both, which may be none or one."""


def input_vectors(state: State, names: Sequence[str]) -> Vectors:
    """The vectors of some inputs."""
    return {name: (state.shared[name], state.encoded[name].present_B) for name in names}


def collapse_vectors(judged: Vectors) -> Vectors:
    """The same rows with one vector for all: a space that tells nothing apart."""
    return {name: (torch.ones_like(x_BE), present_B) for name, (x_BE, present_B) in judged.items()}


def pairs_of_rows(judged: Vectors, pairs: Sequence[tuple[str, str]], batch: Batch, key: str | None) -> Iterator[Pair]:
    """Every pair of inputs over the rows that have both, and a weight: one without is no negative either."""
    for one, two in pairs:
        (one_BE, here_B), (two_BE, there_B) = judged[one], judged[two]
        at_P = (here_B & there_B & (batch.weights_B > 0)).nonzero()[:, 0]
        same_BB = same_rows(batch, (one, two), key)
        yield Pair(one_BE[at_P], two_BE[at_P], same_BB[at_P][:, at_P], batch.weights_B[at_P])


def same_rows(batch: Batch, names: Sequence[str], key: str | None = None) -> Tensor:
    """Rows that share a cell of one of these inputs, or the key: (B, B), its diagonal True.

    Such rows are never each other's negatives: one picture with five captions is no five pictures.
    """
    rows = len(batch)
    same_BB = torch.eye(rows, dtype=torch.bool, device=batch.weights_B.device)
    for name in names:
        if name in batch.inputs:
            at_BK = batch.inputs[name].index_BK
            same_BB = same_BB | ((at_BK[:, None] == at_BK).all(-1) & (at_BK >= 0).all(-1))
    if key is not None:
        code_B = batch.keys[key]
        same_BB = same_BB | ((code_B[:, None] == code_B) & (code_B >= 0))
    return same_BB


def weighted_mean_loss(loss_P: Tensor, weight_P: Tensor) -> Tensor:
    """Mean of weighted losses over the rows that have a weight; 0 where there is none."""
    return (loss_P * weight_P).sum() / (weight_P > 0).sum().clamp_min(1)
