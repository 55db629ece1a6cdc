"""Small drawn tables for tests of learners."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

TASKS = ("category", "labels", "number")
FAST = {
    "linear": {"strength": 1.0, "dense": 1.0},
    "svm": {"cost": 1.0, "reach": 1.0},
    "forest": {"extra": True, "leaf": 1, "features": "sqrt", "trees": 8},
    "boosting": {"rate": 0.1, "leaves": 4, "leaf": 2, "rounds": 6},
}


def table(task: str, rows: int = 60, columns: int = 4, classes: int = 3, seed: int = 0, noise: float = 0.3):
    """Dense columns and a target they explain up to noise."""
    rng = np.random.default_rng(seed)
    x_RF = rng.normal(size=(rows, columns)).astype(np.float32)
    score_RC = x_RF @ rng.normal(size=(columns, classes)) + noise * rng.normal(size=(rows, classes))
    if task == "category":
        return x_RF, score_RC.argmax(1), classes
    if task == "labels":
        return x_RF, (score_RC > 0).astype(np.float64), classes
    return x_RF, (score_RC[:, 0] - score_RC[:, 0].mean()) / max(score_RC[:, 0].std(), 1e-9), 1


def words(rows: int = 60, columns: int = 30, seed: int = 0) -> csr_matrix:
    """Rows of unit length with a few weights each; some have none, some columns nobody uses."""
    rng = np.random.default_rng(seed)
    x_RF = rng.random((rows, columns)) * (rng.random((rows, columns)) < 0.15)
    x_RF[:, ::7], x_RF[3:5] = 0, 0
    return csr_matrix((x_RF / np.maximum(np.linalg.norm(x_RF, axis=1, keepdims=True), 1e-9)).astype(np.float32))
