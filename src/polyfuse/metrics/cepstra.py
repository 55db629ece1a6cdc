"""Mel-cepstral distortion of two sounds, each warped in time to fit the other.

Kubichek, Mel-cepstral distance measure for objective speech quality assessment, 1993; dynamic time warping: Sakoe and
Chiba, 1978. Cepstra are those of log-mel filters, which gives other numbers than those of vocoders.
"""

from __future__ import annotations

import numpy as np

COEFFICIENTS = 13  # from the second on: the first is loudness
DECIBEL = 10 * np.sqrt(2) / np.log(10)


def cepstra(log_NF: np.ndarray) -> np.ndarray:
    """Natural logarithms of mel filters (N, F) -> cepstra 1 to 13 (N, 13)."""
    filters = log_NF.shape[1]
    angles = np.pi * np.outer(np.arange(filters) + 0.5, np.arange(1, COEFFICIENTS + 1)) / filters
    return log_NF @ np.cos(angles) / filters


def distortion(one_NC: np.ndarray, other_MC: np.ndarray) -> float:
    """Mean distance along the best alignment, in decibels; 0 of equal sounds."""
    square = np.square(one_NC).sum(1)[:, None] - 2 * one_NC @ other_MC.T + np.square(other_MC).sum(1)
    return float(DECIBEL * alignment_cost(np.sqrt(np.maximum(square, 0))))


def alignment_cost(cost_NM: np.ndarray) -> float:
    """Mean cost along the path from the first to the last pair whose sum is least, diagonal by diagonal."""
    rows, columns = cost_NM.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    steps = np.zeros((rows + 1, columns + 1))
    total[0, 0] = 0
    for diagonal in range(2, rows + columns + 1):
        at = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        along = diagonal - at
        before = np.stack([total[at - 1, along - 1], total[at - 1, along], total[at, along - 1]])
        counts = np.stack([steps[at - 1, along - 1], steps[at - 1, along], steps[at, along - 1]])
        best = before.argmin(0)
        each = np.arange(len(at))
        total[at, along] = before[best, each] + cost_NM[at - 1, along - 1]
        steps[at, along] = counts[best, each] + 1
    return float(total[rows, columns] / steps[rows, columns])


def shape(cepstra_NC: np.ndarray, times: int = 8) -> np.ndarray:
    """Cepstra at so many moments of a sound, whatever its length: (times * 13,)."""
    at = np.linspace(0, len(cepstra_NC) - 1, times)
    below = np.floor(at).astype(int)
    share = (at - below)[:, None]
    above = np.minimum(below + 1, len(cepstra_NC) - 1)
    return ((1 - share) * cepstra_NC[below] + share * cepstra_NC[above]).ravel()
