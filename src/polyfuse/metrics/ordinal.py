"""Metrics of one step per row of an ordered scale: how many steps a prediction is off, and agreement beyond chance.

Letters: N rows, C steps. Codes count the steps from 0. ``weights`` is (..., N) and the result (...); see ``weighted``.
"""

from __future__ import annotations

import numpy as np

from polyfuse.metrics.weighted import mean_of_defined, ratio, row_weights, sum_by, weighted_mean


def mean_steps(target_N: np.ndarray, predicted_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean absolute error in steps: 0 where every row is right, 1 where each is one step off."""
    return weighted_mean(np.abs(target_N - predicted_N), weights)


def macro_mean_steps(
    target_N: np.ndarray, predicted_N: np.ndarray, classes: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """The mean over steps with rows of their mean absolute error, so that frequent ones do not dominate.

    Baccianella, Esuli and Sebastiani, Evaluation measures for ordinal regression, ISDA 2009.
    """
    weights = row_weights(weights, len(target_N))
    off = sum_by(target_N, classes, weights * np.abs(target_N - predicted_N))
    return mean_of_defined(ratio(off, sum_by(target_N, classes, weights)))


def quadratic_kappa(target_N: np.ndarray, predicted_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Quadratic weighted kappa: 1 in full agreement, 0 for what chance gives, below 0 for worse.

    Cohen, Weighted kappa, Psychological Bulletin 1968. Disagreement counts by the square of its steps, against that of
    rows whose predictions were dealt out anew; NaN where both sides are one and the same step throughout.
    """
    target, value = target_N.astype(float), predicted_N.astype(float)
    found = weighted_mean((target - value) ** 2, weights)
    mean_t, mean_v = weighted_mean(target, weights), weighted_mean(value, weights)
    expected = weighted_mean(target**2, weights) + weighted_mean(value**2, weights) - 2 * mean_t * mean_v
    return 1 - ratio(found, np.where(expected < 1e-12, 0, expected))
