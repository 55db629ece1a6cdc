"""Sums, means and ranks under row weights, so that a metric is written once and serves as value and as bootstrap.

Every metric takes ``weights`` of shape (..., N). A row of ones gives its value; R rows of counts (how often a
resample drew each row) give R bootstrap values in one call, and nothing is ever copied or predicted again.

Letters: N rows, R resamples, C classes or labels. NaN means undefined; the report turns it into "none" with a reason.
"""

from __future__ import annotations

import numpy as np


def row_weights(weights: np.ndarray | None, rows: int) -> np.ndarray:
    """The weights given, or 1 for every row."""
    return np.ones(rows) if weights is None else weights


def ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """``top / bottom``, NaN where ``bottom`` is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom == 0, np.nan, np.divide(top, bottom))


def weighted_mean(values_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean of one value per row: (N,), (..., N) -> (...)."""
    weights = row_weights(weights, len(values_N))
    return ratio(weights @ values_N.astype(float), weights.sum(-1))


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis, NaN entries left out; NaN where none is left."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1))


def sum_by(codes_N: np.ndarray, size: int, values: np.ndarray) -> np.ndarray:
    """Sum values within each code 0 to size - 1: (N,), (..., N) -> (..., size)."""
    order = np.argsort(codes_N, kind="stable")
    edges = np.searchsorted(codes_N[order], np.arange(size + 1))
    return np.diff(np.take(_running_total(values, order), edges, axis=-1), axis=-1)


def weight_below(values_N: np.ndarray, weights: np.ndarray, at_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much weight lies below each of some values, without and with the rows that equal it.

    Shapes: (N,), (..., N), (K,) -> two of (..., K). Half their sum is the mid-rank of the value.
    """
    order = np.argsort(values_N, kind="stable")
    ranked, total = values_N[order], _running_total(weights, order)
    below, through = (np.take(total, np.searchsorted(ranked, at_K, side), axis=-1) for side in ("left", "right"))
    return below, through


def _running_total(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Sum of the first 0, 1, ..., N values in that order: (..., N), (N,) -> (..., N + 1)."""
    total = np.zeros((*values.shape[:-1], len(order) + 1))
    np.cumsum(np.take(values, order, axis=-1), axis=-1, out=total[..., 1:])
    return total
