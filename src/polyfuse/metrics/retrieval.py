"""How well one thing finds another in a gallery: recall at k, median rank, mean average precision.

As the literature on pictures and captions counts: a query is found at k where any of what belongs to it is among the
first k of the whole gallery. Hodosh et al., Framing image description as a ranking task, JAIR 2013.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

TOP = (1, 5, 10)
CHUNK = 512  # queries whose similarities are held at once


def rank_queries(
    query_QE: np.ndarray, gallery_GE: np.ndarray, relevant: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Best rank and average precision of every query, by dot product over the whole gallery.

    Where others score the same as what is relevant, half of them count as before it, so that a constant space is at
    chance and no order of the rows decides.

    Args:
        query_QE, gallery_GE: vectors, of length 1 for cosines.
        relevant: query numbers (q,) -> which of the gallery belong to them (q, G).

    Returns:
        Rank from 1 (Q,), which may be a half, and average precision (Q,); NaN where nothing is relevant.
    """
    rank_Q, precision_Q = (np.full(len(query_QE), np.nan) for _ in range(2))
    for start in range(0, len(query_QE), CHUNK):
        at_q = np.arange(start, min(start + CHUNK, len(query_QE)))
        score_qG, relevant_qG = query_QE[at_q] @ gallery_GE.T, relevant(at_q)
        for number, score_G, relevant_G in zip(at_q, score_qG, relevant_qG, strict=True):
            if relevant_G.any():
                rank_Q[number], precision_Q[number] = _of_query(score_G, relevant_G)
    return rank_Q, precision_Q


def _of_query(score_G: np.ndarray, relevant_G: np.ndarray) -> tuple[float, float]:
    found_K = np.sort(score_G[relevant_G])[::-1]
    rising_G = np.sort(score_G)
    above_K = len(rising_G) - np.searchsorted(rising_G, found_K, side="right")
    equal_K = np.searchsorted(rising_G, found_K, side="right") - np.searchsorted(rising_G, found_K, side="left")
    same = dict(zip(*np.unique(found_K, return_counts=True), strict=True))
    place_K = np.empty(len(found_K))
    seen: dict[float, int] = {}
    for at, (score, above, equal) in enumerate(zip(found_K, above_K, equal_K, strict=True)):
        nth = seen[score] = seen.get(score, 0) + 1  # relevant ones of one score share the place of their neighbours
        place_K[at] = above + nth * (equal + 1) / (same[score] + 1)
    return float(place_K[0]), float(np.mean(np.arange(1, len(place_K) + 1) / place_K))


def summarise_ranks(rank_Q: np.ndarray, precision_Q: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Recall at 1, 5 and 10, median rank and mAP under weights of the queries.

    Args:
        weights: (R, Q), several weightings at once, as the bootstrap draws them; or (Q,).

    Returns:
        ``recall@k``, ``median_rank`` and ``map``, each (R,).
    """
    known_Q = np.isfinite(rank_Q)
    weight_RQ = np.atleast_2d(np.asarray(weights, np.float64))[:, known_Q]
    rank_Q, precision_Q = rank_Q[known_Q], precision_Q[known_Q]
    total_R = np.maximum(weight_RQ.sum(1), 1e-12)
    found = {f"recall@{k}": weight_RQ @ (rank_Q <= k) / total_R for k in TOP}
    order = np.argsort(rank_Q, kind="stable")
    passed_RQ = np.cumsum(weight_RQ[:, order], axis=1)
    at_R = (passed_RQ >= total_R[:, None] / 2).argmax(1) if len(rank_Q) else np.zeros(len(weight_RQ), int)
    found["median_rank"] = rank_Q[order][at_R] if len(rank_Q) else np.full(len(weight_RQ), np.nan)
    found["map"] = weight_RQ @ precision_Q / total_R
    return found
