"""Alignment without negatives: the cross-correlation of two inputs becomes the identity. Zbontar et al., ICML 2021."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from polyfuse.objectives.pairs import Pair, PairwiseAlignment


class BarlowTwins(PairwiseAlignment):
    """Each dimension of the space says the same of both inputs of a row, and no two dimensions say the same.

    L = sum_d (1 - C_dd)^2 + redundancy * sum_{d != e} C_de^2, C the correlation over the batch between the vectors of
    two inputs, in which rows count by their weights. Needs no negatives.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.
        between, around: as for ``clip``.
        redundancy: weight of the second term.

    See also: ``vicreg``, which treats each input's spread on its own.
    """

    paper = "Zbontar et al., Barlow twins: Self-supervised learning via redundancy reduction, ICML 2021"

    def __init__(
        self,
        inputs: Sequence[str],
        width: int,
        *,
        between: Sequence[str] | None = None,
        around: str | None = None,
        redundancy: float = 0.005,
    ):
        super().__init__(inputs, between, around)
        del width
        if redundancy < 0:
            raise ValueError(f"redundancy={redundancy!r}: expected a weight from 0 on")
        self.redundancy = redundancy

    def of(self, pair: Pair) -> Tensor:
        weight_P1 = (pair.weight_P / pair.weight_P.sum().clamp_min(1e-6))[:, None]
        if len(pair.weight_P) < 2:
            return pair.one_PE.new_zeros(()) + 0 * (pair.one_PE.sum() + pair.two_PE.sum())
        one_PE, two_PE = (_standardize(x.float(), weight_P1) for x in (pair.one_PE, pair.two_PE))
        corr_EE = (one_PE * weight_P1).T @ two_PE
        own = corr_EE.diagonal()
        return (1 - own).square().sum() + self.redundancy * (corr_EE.square().sum() - own.square().sum())


def _standardize(x_PE: Tensor, weight_P1: Tensor) -> Tensor:
    """Each dimension with mean 0 and deviation 1 over the rows."""
    x_PE = x_PE - (x_PE * weight_P1).sum(0)
    return x_PE / ((x_PE.square() * weight_P1).sum(0) + 1e-6).sqrt()
