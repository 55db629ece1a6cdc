"""How wrong scores are, row by row, and the temperature that makes them honest."""

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


def temperature(scores_RC: np.ndarray, target: np.ndarray, task: str) -> float:
    """The temperature of out-of-fold scores, 1 for a number.

    One more row is added, of usual confidence and wrong: some tens of rows that all are right would otherwise promise
    that no row is ever wrong.
    """
    if task == "number" or not len(scores_RC):
        return 1.0
    if task == "labels":
        typical_C = np.median(np.abs(scores_RC), 0)
        extra_C = np.zeros((1, scores_RC.shape[1]), bool)
        return fit_temperature(np.vstack([scores_RC, typical_C]), np.concatenate([np.asarray(target) > 0.5, extra_C]))
    if scores_RC.shape[1] < 2:
        return 1.0
    top_R2 = np.sort(scores_RC, 1)[:, -2:]
    margin_R = top_R2[:, 1] - top_R2[:, 0]
    typical = margin_R.argsort(kind="stable")[len(margin_R) // 2]
    runner_up = scores_RC[typical].argsort(kind="stable")[-2]
    return fit_temperature(np.vstack([scores_RC, scores_RC[typical]]), np.append(target, runner_up))
