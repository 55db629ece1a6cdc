"""Whether one model's errors are smaller than another's on the same rows: paired bootstrap.

Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Difference:
    """Mean of what the second has less of errors than the first, its 95 % interval and two-sided p."""

    mean: float
    low: float
    high: float
    p: float


def paired_difference(first_SN: np.ndarray, second_SN: np.ndarray, times: int = 10_000) -> Difference:
    """How much smaller the second's errors are, averaged over seeds; rows are drawn again.

    Args:
        first_SN, second_SN: errors by seed and row, of the same rows.
    """
    gain_N = (np.asarray(first_SN) - np.asarray(second_SN)).mean(0)
    rows = np.random.default_rng(0).integers(0, len(gain_N), (times, len(gain_N)))
    drawn = gain_N[rows].mean(1)
    beyond = min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1  # the rows as they are count as one draw
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Difference(float(gain_N.mean()), float(low), float(high), float(min(1.0, 2 * beyond / (times + 1))))
