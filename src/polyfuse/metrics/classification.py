"""Metrics of one label per row, from class codes and probabilities.

NumPy instead of torchmetrics: that import costs 2.4 CPU seconds and it knows no row weights, which the bootstrap needs.
Tests hold every function equal to torchmetrics and scikit-learn.

Letters: N rows, C classes. ``weights`` is (..., N) and the result (...); see ``weighted``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyfuse.metrics.weighted import mean_of_defined, ratio, row_weights, sum_by, weight_below, weighted_mean


@dataclass(frozen=True)
class ClassCounts:
    """Weight of rows per class, each (..., C); all that precision, recall and F1 need.

    Args:
        hits: rows of the class that were predicted as the class.
        actual: rows of the class.
        predicted: rows predicted as the class.
    """

    hits: np.ndarray
    actual: np.ndarray
    predicted: np.ndarray


def class_counts(
    target_N: np.ndarray, predicted_N: np.ndarray, classes: int, weights: np.ndarray | None = None
) -> ClassCounts:
    """Count hits, actual and predicted rows of each class.

    Args:
        target_N, predicted_N: class codes 0 to classes - 1.
    """
    weights = row_weights(weights, len(target_N))
    hits = sum_by(target_N, classes, weights * (target_N == predicted_N))
    return ClassCounts(hits, sum_by(target_N, classes, weights), sum_by(predicted_N, classes, weights))


def precision(counts: ClassCounts) -> np.ndarray:
    """Share of the rows predicted as the class that are of it, (..., C); NaN for a class never predicted."""
    return ratio(counts.hits, counts.predicted)


def recall(counts: ClassCounts) -> np.ndarray:
    """Share of the rows of the class that were found, (..., C); NaN for a class without rows."""
    return ratio(counts.hits, counts.actual)


def f1(counts: ClassCounts) -> np.ndarray:
    """Harmonic mean of precision and recall, (..., C); NaN for a class neither present nor predicted."""
    return ratio(2 * counts.hits, counts.actual + counts.predicted)


def accuracy(counts: ClassCounts) -> np.ndarray:
    """Share of rows predicted right."""
    return ratio(counts.hits.sum(-1), counts.actual.sum(-1))


def balanced_accuracy(counts: ClassCounts) -> np.ndarray:
    """Mean recall of the classes that have rows; unlike accuracy, frequent classes do not dominate it."""
    return mean_of_defined(recall(counts))


def macro_f1(counts: ClassCounts) -> np.ndarray:
    """Mean F1 of the classes that are present or predicted."""
    return mean_of_defined(f1(counts))


def weighted_f1(counts: ClassCounts) -> np.ndarray:
    """F1 averaged by the number of rows of each class."""
    return ratio((np.nan_to_num(f1(counts)) * counts.actual).sum(-1), counts.actual.sum(-1))


def log_loss(probabilities_NC: np.ndarray, target_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean negative log probability of the true class, in nats; probabilities are floored at their type's epsilon."""
    true_N = probabilities_NC[np.arange(len(target_N)), target_N]
    return weighted_mean(-np.log(np.maximum(true_N, np.finfo(true_N.dtype).eps), dtype=float), weights)


def brier(probabilities_NC: np.ndarray, target_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Squared distance of the probabilities from the truth (Brier, 1950): 0 to 1 for two classes, else 0 to 2.

    Halved for two classes, where both columns say the same, as scikit-learn does.
    """
    p = probabilities_NC.astype(float)
    true_N = p[np.arange(len(target_N)), target_N]
    return weighted_mean(((p**2).sum(-1) - 2 * true_N + 1) * (0.5 if p.shape[-1] == 2 else 1.0), weights)


def auroc(scores_N: np.ndarray, positive_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Chance that a positive row scores above a negative one, ties counted half; NaN when one side has no rows."""
    weights = row_weights(weights, len(scores_N))
    up, down = weights[..., positive_N], weights[..., ~positive_N]
    below, through = weight_below(scores_N[~positive_N], down, scores_N[positive_N])
    return ratio((up * (below + through)).sum(-1) / 2, up.sum(-1) * down.sum(-1))


def macro_auroc(scores_NC: np.ndarray, target_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean over classes of the AUROC of that class against the rest; classes without rows are left out."""
    each = [auroc(scores_N, target_N == code, weights) for code, scores_N in enumerate(scores_NC.T)]
    return mean_of_defined(np.stack(each, axis=-1))


def confusion_matrix(target_N: np.ndarray, predicted_N: np.ndarray, classes: int) -> np.ndarray:
    """Number of rows per true class (first axis) and predicted class (second): (C, C) int."""
    return np.bincount(target_N * classes + predicted_N, minlength=classes * classes).reshape(classes, classes)
