"""Metrics of several labels per row, from boolean matrices and scores; F1 per label is shared with ``classification``.

Letters: N rows, C labels. ``weights`` is (..., N) and the result (...); see ``weighted``.
"""

from __future__ import annotations

import numpy as np

from polyfuse.metrics.classification import ClassCounts
from polyfuse.metrics.weighted import mean_of_defined, ratio, row_weights, weight_below, weighted_mean


def label_counts(target_NC: np.ndarray, predicted_NC: np.ndarray, weights: np.ndarray | None = None) -> ClassCounts:
    """Count hits, actual and predicted rows of each label, from two boolean matrices."""
    weights = row_weights(weights, len(target_NC))
    hits, actual, predicted = (
        weights @ matrix.astype(float) for matrix in (target_NC & predicted_NC, target_NC, predicted_NC)
    )
    return ClassCounts(hits, actual, predicted)


def micro_f1(counts: ClassCounts) -> np.ndarray:
    """F1 of all labels of all rows taken together, so that frequent labels weigh more; NaN when there is no label."""
    return ratio(2 * counts.hits.sum(-1), counts.actual.sum(-1) + counts.predicted.sum(-1))


def exact_match(target_NC: np.ndarray, predicted_NC: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Share of rows whose labels are all right and none too many."""
    return weighted_mean((target_NC == predicted_NC).all(-1), weights)


def average_precision(scores_N: np.ndarray, positive_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean precision at the rank of each positive row, ties taken together; NaN without positive rows."""
    weights = row_weights(weights, len(scores_N))
    up, ranks = weights[..., positive_N], -scores_N[positive_N]
    found = weight_below(ranks, up, ranks)[1]
    seen = weight_below(-scores_N, weights, ranks)[1]
    return ratio((up * np.nan_to_num(ratio(found, seen))).sum(-1), up.sum(-1))


def average_precisions(scores_NC: np.ndarray, target_NC: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Average precision of each label, (..., C)."""
    weights = row_weights(weights, len(scores_NC))
    found = np.empty((*weights.shape[:-1], scores_NC.shape[1]))
    for code, (scores_N, target_N) in enumerate(zip(scores_NC.T, target_NC.T, strict=True)):
        found[..., code] = average_precision(scores_N, target_N, weights)
    return found


def mean_average_precision(
    scores_NC: np.ndarray, target_NC: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Mean average precision of the labels that occur; needs no threshold, unlike F1."""
    return mean_of_defined(average_precisions(scores_NC, target_NC, weights))
