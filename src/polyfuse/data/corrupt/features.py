"""Noise in ready-made features, (D,) or (T, D) float32 -> the same, as the encoder gets them: in their own spreads."""

from __future__ import annotations

from typing import Any

import numpy as np

SPREADS = 2.0  # deviation of the noise at severity 1


def noise(cell: np.ndarray, severity: float, rng: np.random.Generator, transform: Any) -> np.ndarray:
    """Normal noise, cut where the transform cuts; features left in their own unit are measured by the cell's spread."""
    unit = 1.0 if transform.standardise else float(cell.std()) or 1.0
    noisy = cell + SPREADS * severity * unit * rng.standard_normal(cell.shape)
    return (noisy.clip(-transform.clip, transform.clip) if transform.standardise else noisy).astype(cell.dtype)


def drop_features(cell: np.ndarray, severity: float, rng: np.random.Generator, transform: Any) -> np.ndarray:  # noqa: ARG001
    """Features at 0, their mean in training where they are standardised."""
    return np.where(rng.random(cell.shape) < severity, 0, cell).astype(cell.dtype)


def drop_steps(cell: np.ndarray, severity: float, rng: np.random.Generator, transform: Any) -> np.ndarray:  # noqa: ARG001
    """Steps of a sequence at 0; their number stays."""
    return np.where(rng.random(len(cell))[:, None] < severity, 0, cell).astype(cell.dtype)
