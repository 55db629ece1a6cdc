"""Loss of scores per row, and the temperature that calibrates them."""

from __future__ import annotations

import numpy as np

from polyfuse.metrics.calibration import fit_temperature


def row_losses(scores_RC: np.ndarray, target: np.ndarray, task: str) -> np.ndarray:
    """Log loss, binary cross-entropy (mean over labels) or squared error of each row: (R,)."""
    if task == "number":
        return (scores_RC[:, 0] - np.asarray(target).reshape(-1)) ** 2
    if task == "labels":
        return np.logaddexp(0, np.where(np.asarray(target) > 0.5, -scores_RC, scores_RC)).mean(1)
    shifted_RC = scores_RC - scores_RC.max(1, keepdims=True)
    return np.log(np.exp(shifted_RC).sum(1)) - shifted_RC[np.arange(len(shifted_RC)), target]


def weights_of_rows(weights_R: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    """The weights of some rows, where there are weights."""
    return None if weights_R is None else weights_R[rows]


def mean_one_weights(weights_R: np.ndarray | None, rows: int) -> np.ndarray:
    """Weights whose mean is 1, so that a plain mean of what they multiply is a weighted one; 1 without any."""
    if weights_R is None or not weights_R.sum():
        return np.ones(rows)
    return weights_R / weights_R.mean()


def temperature(scores_RC: np.ndarray, target: np.ndarray, task: str, weights_R: np.ndarray | None = None) -> float:
    """The temperature of out-of-fold scores, 1 for a number.

    One more row is added, of usual confidence and wrong: some tens of rows that all are right would otherwise promise
    that no row is ever wrong.
    """
    if task == "number" or not len(scores_RC):
        return 1.0
    if task == "labels":
        typical_C = np.median(np.abs(scores_RC), 0)
        extra_C = np.zeros((1, scores_RC.shape[1]), bool)
        yes_RC = np.concatenate([np.asarray(target) > 0.5, extra_C])
        return fit_temperature(np.vstack([scores_RC, typical_C]), yes_RC, _one_more(weights_R))
    if scores_RC.shape[1] < 2:
        return 1.0
    top_R2 = np.sort(scores_RC, 1)[:, -2:]
    margin_R = top_R2[:, 1] - top_R2[:, 0]
    typical = margin_R.argsort(kind="stable")[len(margin_R) // 2]
    runner_up = scores_RC[typical].argsort(kind="stable")[-2]
    both = np.vstack([scores_RC, scores_RC[typical]])
    return fit_temperature(both, np.append(target, runner_up), _one_more(weights_R))


def _one_more(weights_R: np.ndarray | None) -> np.ndarray | None:
    """The weights of rows and of one of usual weight behind them."""
    return None if weights_R is None else np.append(mean_one_weights(weights_R, len(weights_R)), 1.0)
