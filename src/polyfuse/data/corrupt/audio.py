"""Corruptions of sounds, (S,) samples -> the same: white noise, drop-outs and clipping, relative to the sound."""

# ruff: noqa: ARG001 - every corruption has the same four arguments, and each uses some

from __future__ import annotations

from typing import Any

import numpy as np

CLEANEST, NOISIEST = 30.0, -10.0  # decibels, sound over noise
PIECES = 20  # of a sound, each of which may drop out
OVERDRIVE = 30.0  # decibels


def noise(cell: np.ndarray, severity: float, rng: np.random.Generator, transform: Any = None) -> np.ndarray:
    """White noise; where the sum is louder than full scale, all of it is made softer, which keeps the ratio."""
    wave = cell.astype(np.float64)
    ratio = CLEANEST + (NOISIEST - CLEANEST) * severity
    level = np.sqrt(np.square(wave).sum() / max(1, len(wave)) * 10 ** (-ratio / 10))
    wave += level * rng.standard_normal(len(wave))
    return _to_type_of(cell, wave * min(1.0, _full_scale(cell) / max(1e-12, np.abs(wave).max(initial=0))))


def dropouts(cell: np.ndarray, severity: float, rng: np.random.Generator, transform: Any = None) -> np.ndarray:
    """Some of twenty equal pieces silent."""
    lost = rng.random(PIECES) < severity
    piece = np.arange(len(cell)) * PIECES // max(1, len(cell))
    return np.where(lost[piece], 0, cell).astype(cell.dtype)


def clipping(cell: np.ndarray, severity: float, rng: np.random.Generator, transform: Any = None) -> np.ndarray:
    """Amplified and cut at the peak it had, as by a microphone set too loud."""
    wave = cell.astype(np.float64)
    peak = np.abs(wave).max(initial=0)
    return _to_type_of(cell, np.clip(wave * 10 ** (OVERDRIVE * severity / 20), -peak, peak))


def _full_scale(cell: np.ndarray) -> float:
    return float(np.iinfo(cell.dtype).max) if cell.dtype.kind == "i" else 1.0


def _to_type_of(cell: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Samples in the cell's own type."""
    if cell.dtype.kind != "i":
        return wave.astype(cell.dtype)
    return np.clip(np.rint(wave), -_full_scale(cell) - 1, _full_scale(cell)).astype(cell.dtype)
