"""Alignment without negatives: variance, invariance, covariance. Bardes et al., VICReg, ICLR 2022."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from polyfuse.objectives.pairs import Pair, PairwiseAlignment, weighted_mean_loss


class VICReg(PairwiseAlignment):
    """Inputs of a row lie together, every dimension of the space spreads, and no two dimensions say the same.

    L = invariance * mean |u - v|^2 / E + variance * mean_d [1 - std_d]_+ + covariance * sum_{d != e} cov_de^2 / E, the
    last two over both inputs. Needs no negatives, so equal rows do no harm. Rows count by their weights.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.
        between, around: as for ``clip``.
        invariance, variance, covariance: weights of the three terms, the paper's.

    See also: ``barlow``, which asks for the identity as correlation between the two.
    """

    paper = "Bardes, Ponce, LeCun: VICReg, ICLR 2022"

    def __init__(
        self,
        inputs: Sequence[str],
        width: int,
        *,
        between: Sequence[str] | None = None,
        around: str | None = None,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ):
        super().__init__(inputs, between, around)
        del width
        if min(invariance, variance, covariance) < 0:
            raise ValueError("invariance, variance and covariance are weights: expected numbers from 0 on")
        self.invariance, self.variance, self.covariance = invariance, variance, covariance

    def of(self, pair: Pair) -> Tensor:
        one_PE, two_PE = pair.one_PE.float(), pair.two_PE.float()
        together = weighted_mean_loss((one_PE - two_PE).square().mean(1), pair.weight_P)
        if len(one_PE) < 2:  # one row has no spread
            return self.invariance * together
        spreads = [_covariances(x, pair.weight_P) for x in (one_PE, two_PE)]
        spread, crossed = (sum(map(term, spreads)) / 2 for term in (_variance, _covariance))
        return self.invariance * together + self.variance * spread + 2 * self.covariance * crossed


def _covariances(x_PE: Tensor, weight_P: Tensor) -> Tensor:
    """Covariances of the dimensions over weighted rows (E, E); of equal weights the unbiased estimate."""
    share_P1 = (weight_P / weight_P.sum())[:, None]
    x_PE = x_PE - (x_PE * share_P1).sum(0)
    return (x_PE * share_P1).T @ x_PE * (len(x_PE) / (len(x_PE) - 1))


def _variance(cov_EE: Tensor) -> Tensor:
    """How far the standard deviation of the dimensions lies below 1, on average."""
    return (1 - (cov_EE.diagonal() + 1e-4).sqrt()).clamp_min(0).mean()


def _covariance(cov_EE: Tensor) -> Tensor:
    """Squared covariances between different dimensions, summed and divided by their number."""
    return (cov_EE.square().sum() - cov_EE.diagonal().square().sum()) / cov_EE.shape[1]
