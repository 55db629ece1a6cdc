"""Whether vectors fill their space or lie in few of its directions: effective rank and share of the first direction.

Roy and Vetterli, The effective rank, EUSIPCO 2007; Garrido et al., RankMe: Assessing the downstream performance of
pretrained self-supervised representations by their rank, ICML 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spectrum:
    """What the singular values of some unit vectors say, their mean taken off.

    Args:
        effective_rank: exp of the entropy of the singular values, each divided by their sum; from 1 to the dimension,
            and 0 where all vectors are the same.
        first_share: of the variance, in the first direction.
        common: squared length of the mean vector: 1 where all vectors are the same, near 0 where they spread.
    """

    effective_rank: float
    first_share: float
    common: float


def spectrum(vectors_NE: np.ndarray) -> Spectrum:
    """The spectrum of unit vectors (N, E).

    Raises:
        ValueError: there is no vector.
    """
    if not len(vectors_NE):
        raise ValueError("a spectrum needs one vector at least")
    vectors_NE = np.asarray(vectors_NE, np.float64)
    mean_E = vectors_NE.mean(0)
    values = np.linalg.svd(vectors_NE - mean_E, compute_uv=False)
    common = float(mean_E @ mean_E)
    if values[0] < 1e-6 * np.sqrt(len(vectors_NE)):
        return Spectrum(0.0, 1.0, common)
    shares = values / values.sum()
    shares = shares[shares > 1e-12]
    rank = float(np.exp(-(shares * np.log(shares)).sum()))
    return Spectrum(rank, float(values[0] ** 2 / (values**2).sum()), common)
