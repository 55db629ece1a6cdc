"""Whether confidence can be believed: calibration error, reliability bins, and the temperature that corrects them.

Guo et al., On Calibration of Modern Neural Networks, ICML 2017. Letters: N rows, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyfuse.metrics.weighted import ratio, row_weights, sum_by

BINS = 15  # the usual number, so that the error compares with published ones


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows whose confidence falls in one bin: their number, mean confidence, and share predicted right."""

    rows: int
    confidence: float
    accuracy: float


def _bin_of(confidence_N: np.ndarray) -> np.ndarray:
    """Bins of equal width, closed above: (0, 1/15], (1/15, 2/15], ..."""
    return np.clip(np.ceil(confidence_N * BINS).astype(int) - 1, 0, BINS - 1)


def calibration_error(confidence_N: np.ndarray, right_N: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Expected calibration error: distance of confidence from accuracy, bin by bin, weighted by rows; 0 is best.

    Biased upwards on small tables (a bin with few rows is never exactly right), and more so on their resamples; a
    percentile bootstrap interval would miss the value itself, so the report gives none.
    """
    weights = row_weights(weights, len(confidence_N))
    gaps = sum_by(_bin_of(confidence_N), BINS, weights * (confidence_N - right_N))
    return ratio(np.abs(gaps).sum(-1), weights.sum(-1))


def reliability_bins(confidence_N: np.ndarray, right_N: np.ndarray) -> list[ReliabilityBin]:
    """The bins that hold rows, from low to high confidence; what a reliability plot shows."""
    bin_N = _bin_of(confidence_N)
    return [
        ReliabilityBin(int(here.sum()), float(confidence_N[here].mean()), float(right_N[here].mean()))
        for here in (bin_N == code for code in np.unique(bin_N))
    ]


def fit_temperature(scores_NC: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The T between 0.05 and 20 for which ``scores / T`` gives the lowest log loss; above 1 means over-confident.

    Fit it on rows that training never saw. It never changes which class wins.

    Args:
        scores_NC: logits.
        target: class codes (N,), for a softmax; or booleans (N, C), for one sigmoid per label.
        weights: of each row (N,), 0 and above.

    Returns:
        T; 1.0 when there is nothing to fit (no rows, or a single class).
    """
    scores_NC = np.asarray(scores_NC, dtype=float)
    by_label = np.ndim(target) == 2
    if not len(scores_NC) or (scores_NC.shape[1] < 2 and not by_label):
        return 1.0
    loss = _sigmoid_loss if by_label else _softmax_loss
    # the loss is convex in 1 / T, hence has one valley in log T, which is what golden section needs
    return float(
        np.exp(_golden_section(lambda t: loss(scores_NC / np.exp(t), target, weights), np.log(0.05), np.log(20)))
    )


def _softmax_loss(scores_NC: np.ndarray, target_N: np.ndarray, weights: np.ndarray | None) -> float:
    shifted = scores_NC - scores_NC.max(-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(-1))
    return _mean(log_sum - shifted[np.arange(len(target_N)), target_N], weights)


def _sigmoid_loss(scores_NC: np.ndarray, target_NC: np.ndarray, weights: np.ndarray | None) -> float:
    loss_NC = np.logaddexp(0, np.where(target_NC, -scores_NC, scores_NC))
    return float(loss_NC.mean()) if weights is None else _mean(loss_NC.mean(-1), weights)


def _mean(loss_N: np.ndarray, weights: np.ndarray | None) -> float:
    return float(loss_N.mean() if weights is None or not weights.sum() else np.average(loss_N, weights=weights))


def _golden_section(loss, low: float, high: float, tolerance: float = 1e-6) -> float:
    """The lowest point of a function with one valley."""
    step = (np.sqrt(5) - 1) / 2
    left, right = high - step * (high - low), low + step * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > tolerance:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - step * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + step * (high - low)
            at_right = loss(right)
    return (low + high) / 2
