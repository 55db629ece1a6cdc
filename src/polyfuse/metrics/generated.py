"""Metrics of generated features against real ones: Frechet distance, nearest-reference match, variety.

Frechet distance of two normal distributions over features: Heusel et al., NeurIPS 2017, whose features are those of
Inception; whoever names the number names its features.
"""

from __future__ import annotations

import numpy as np

CHUNK = 512  # rows whose distances are in memory at once


def frechet(made_NK: np.ndarray, real_MK: np.ndarray) -> float:
    """Distance of the normal distributions that fit two sets of features; 0 where mean and covariance agree.

    Few rows give a larger distance: compare sets of one size.

    Returns:
        NaN with fewer than two rows in a set.
    """
    if min(len(made_NK), len(real_MK)) < 2:
        return float("nan")
    made_NK, real_MK = made_NK.astype(np.float64), real_MK.astype(np.float64)
    apart_K = made_NK.mean(0) - real_MK.mean(0)
    made_NK = (made_NK - made_NK.mean(0)) / np.sqrt(len(made_NK) - 1)
    real_MK = (real_MK - real_MK.mean(0)) / np.sqrt(len(real_MK) - 1)
    # the trace of the root of the product of two covariances is the nuclear norm of the product of their roots
    left, right = (_root(x) for x in (made_NK, real_MK))
    cross = np.linalg.svd(left @ right.T, compute_uv=False).sum()
    return max(0.0, float(apart_K @ apart_K + np.square(made_NK).sum() + np.square(real_MK).sum() - 2 * cross))


def _root(x_NK: np.ndarray) -> np.ndarray:
    """The smallest R with R'R = x'x."""
    return np.asarray(np.linalg.qr(x_NK, mode="r")) if len(x_NK) > x_NK.shape[1] else x_NK


def match(made_NK: np.ndarray, real_NK: np.ndarray) -> np.ndarray:
    """Share of the other rows' references that lie farther from what was made of a row than its own, ties half: (N,).

    Its mean is the area under the ROC curve of the distance, by which rows find their own among others: 0.5 is chance.
    References that equal the row's own do not count as others; without any other it is NaN.
    """
    found = np.full(len(made_NK), np.nan)
    norm_N = np.square(real_NK).sum(1)
    for at in range(0, len(made_NK), CHUNK):
        some = slice(at, at + CHUNK)
        distance_nN = norm_N - 2 * made_NK[some] @ real_NK.T  # but for what is the same along a row
        own_n = distance_nN[np.arange(len(distance_nN)), np.arange(at, at + len(distance_nN))][:, None]
        other_nN = ~_equal(real_NK[some], real_NK)
        close = 1e-9 * max(1.0, float(norm_N.max()))
        farther_nN = (distance_nN > own_n + close) + 0.5 * (np.abs(distance_nN - own_n) <= close)
        counts_n = other_nN.sum(1)
        found[some] = np.where(counts_n > 0, (farther_nN * other_nN).sum(1) / np.maximum(counts_n, 1), np.nan)
    return found


def _equal(some_nK: np.ndarray, all_NK: np.ndarray) -> np.ndarray:
    codes = {row.tobytes(): n for n, row in enumerate(all_NK)}
    each_N = np.array([codes[row.tobytes()] for row in all_NK])
    return np.array([codes[row.tobytes()] for row in some_nK])[:, None] == each_N


def variety(made_NK: np.ndarray, real_NK: np.ndarray) -> float:
    """Variance of what was made, over all features, as a share of that of what is real: 0 where all is the same.

    Returns:
        NaN where all that is real is the same.
    """
    real = float(real_NK.var(0).sum())
    return float(made_NK.var(0).sum()) / real if real > 0 else float("nan")
