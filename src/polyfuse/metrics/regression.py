"""Metrics of one number per row, in the column's own units.

Letters: N rows. ``weights`` is (..., N) and the result (...); see ``weighted``.
"""

from __future__ import annotations

import numpy as np

from polyfuse.metrics.weighted import ratio, row_weights, weight_below, weighted_mean


def rmse(target_N: np.ndarray, value_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Root of the mean squared error; large errors dominate it."""
    return np.sqrt(weighted_mean((target_N - value_N) ** 2, weights))


def mae(target_N: np.ndarray, value_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean absolute error."""
    return weighted_mean(np.abs(target_N - value_N), weights)


def median_absolute_error(target_N: np.ndarray, value_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The error that half of the rows stay below; outliers do not move it."""
    error_N = np.abs(target_N - value_N)
    order = np.argsort(error_N)
    total = np.cumsum(row_weights(weights, len(error_N))[..., order], axis=-1)
    half = total[..., -1:] / 2
    # an even count has two middle rows: the first that reaches half, and the first that passes it
    middle = [error_N[order][np.argmax(reached, axis=-1)] for reached in (total >= half, total > half)]
    return (middle[0] + middle[1]) / 2


def r2(target_N: np.ndarray, value_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Share of the target's variance that the prediction explains: 1 perfect, 0 the mean, below 0 worse than that.

    NaN where the target does not vary.
    """
    centred_N = target_N - target_N.mean()
    mean, square = weighted_mean(centred_N, weights), weighted_mean(centred_N**2, weights)
    spread = square - mean**2
    # a constant target leaves rounding behind, not 0
    eps = 8 * np.finfo(float).eps
    constant = spread <= eps * square + (eps * np.abs(target_N).max(initial=0)) ** 2
    return 1 - ratio(weighted_mean((target_N - value_N) ** 2, weights), np.where(constant, 0, spread))


def rmsle(target_N: np.ndarray, value_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """RMSE of ``log(1 + x)``, for targets from 0 up; judges relative error. A prediction below 0 counts as 0."""
    return rmse(np.log1p(target_N), np.log1p(np.maximum(value_N, 0)), weights)


def r2_log(target_N: np.ndarray, value_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """R2 of the logarithms, where targets and predictions are all above 0."""
    return r2(np.log(target_N), np.log(value_N), weights)


def spearman(target_N: np.ndarray, value_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Rank correlation: 1 when the order is right, whatever the values; NaN where one side is constant."""
    weights = row_weights(weights, len(target_N))
    ranks = [sum(weight_below(side, weights, side)) for side in (target_N, value_N)]
    a, b = (r - ratio((weights * r).sum(-1), weights.sum(-1))[..., None] for r in ranks)
    spread = (weights * a * a).sum(-1) * (weights * b * b).sum(-1)
    return ratio((weights * a * b).sum(-1), np.sqrt(spread))
