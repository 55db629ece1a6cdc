"""Alignment by a margin to the negatives that matter. Schroff et al., CVPR 2015; Faghri et al., VSE++, BMVC 2018."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from polyfuse.layers.shared_space import normalize
from polyfuse.objectives.pairs import Pair, PairwiseAlignment, Vectors, pairs_of_rows, weighted_mean_loss
from polyfuse.records import Batch

NEGATIVES = ("semihard", "hardest", "all")
SHIFTS = 4  # ways to pair rows at random
FAR = -2.0  # below any cosine


class Triplet(PairwiseAlignment):
    """The other input of the same row must be nearer than that of any other row, by a margin, in both directions.

    L = mean over rows i of [margin + <u_i, v_n> - <u_i, v_i>]_+ with unit vectors and a negative n: the ``hardest`` of
    the batch (VSE++), the hardest of those that are still farther than the positive (``semihard``; the easiest of the
    rest where there is none), or the sum over ``all``. Rows that share a cell or the key are no negatives.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.
        between, around, key: as for ``clip``.
        margin: in cosine.
        negatives: ``semihard``, ``hardest`` or ``all``; the hardest from the very start often collapse.
    """

    paper = "Faghri et al., VSE++: Improving visual-semantic embeddings with hard negatives, BMVC 2018"

    def __init__(
        self,
        inputs: Sequence[str],
        width: int,
        *,
        between: Sequence[str] | None = None,
        around: str | None = None,
        key: str | None = None,
        margin: float = 0.2,
        negatives: str = "semihard",
    ):
        super().__init__(inputs, between, around, key)
        del width
        if not margin > 0 or negatives not in NEGATIVES:
            raise ValueError(
                f"expected margin > 0 and negatives of {', '.join(NEGATIVES)}; found {margin!r} and {negatives!r}"
            )
        self.margin, self.negatives = margin, negatives

    def chance(self, judged: Vectors, batch: Batch) -> Tensor:
        """The loss of the same vectors paired at random: for hard negatives it depends on how they spread."""
        found = [self._mispaired(pair) for pair in pairs_of_rows(judged, self.pairs, batch, self.key)]
        return torch.stack(found).mean()

    def _mispaired(self, pair: Pair) -> Tensor:
        shifts = range(1, max(2, min(len(pair.two_PE), 1 + SHIFTS)))
        return torch.stack([self.of(replace(pair, two_PE=pair.two_PE.roll(n, 0))) for n in shifts]).mean()

    def of(self, pair: Pair) -> Tensor:
        near_PP = normalize(pair.one_PE) @ normalize(pair.two_PE).T
        both_P = self._one_way(near_PP, pair.same_PP) + self._one_way(near_PP.T, pair.same_PP.T)
        return weighted_mean_loss(both_P, pair.weight_P)

    def _one_way(self, near_PP: Tensor, same_PP: Tensor) -> Tensor:
        own_P1 = near_PP.diagonal()[:, None]
        cost_PP = (self.margin + near_PP - own_P1).clamp_min(0) * ~same_PP
        if self.negatives == "all" or not len(near_PP):
            return cost_PP.sum(1)
        other_PP = near_PP.detach().masked_fill(same_PP, FAR)
        if self.negatives == "semihard":
            farther_PP = (other_PP < own_P1.detach()) & ~same_PP
            semi_PP = other_PP.masked_fill(~farther_PP, FAR)
            easy_PP = other_PP.masked_fill(same_PP, -FAR)
            at_P = torch.where(farther_PP.any(1), semi_PP.argmax(1), easy_PP.argmin(1))
        else:
            at_P = other_PP.argmax(1)
        return cost_PP.gather(1, at_P[:, None])[:, 0]
