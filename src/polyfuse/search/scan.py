"""Exact nearest neighbours: all vectors in half precision, the best few again in single precision.

Half precision halves the bytes that a query has to read; what it may confuse is settled by the second look.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BLOCK = 2**15  # rows in work at a time: their products stay in the cache
AGAIN = 4  # times as many candidates as are asked for, looked at again
SELECTIVE = 0.25  # share of rows below which a filter's rows are gathered first


class Scan:
    """Unit vectors that can be searched.

    Args:
        full_NE: float32, in memory or mapped: read for candidates alone.
        half_NE: the same in float16, read for every query; made where it is not given.
    """

    def __init__(self, full_NE: np.ndarray, half_NE: np.ndarray | None = None):
        self.full_NE = full_NE
        self.half_NE = torch.from_numpy(np.ascontiguousarray(full_NE if half_NE is None else half_NE, np.float16))

    def __len__(self) -> int:
        return len(self.half_NE)

    def top(self, query_QE: np.ndarray, k: int, keep_N: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows by cosine of unit vectors, best first.

        Args:
            keep_N: rows that may be found; all by default.

        Returns:
            Row numbers and scores, (Q, min(k, rows kept)); of equal scores the earlier row comes first.
        """
        asked_QE = torch.from_numpy(np.ascontiguousarray(query_QE, np.float32))
        rows_R = None if keep_N is None else torch.from_numpy(np.flatnonzero(keep_N))
        count = len(self) if rows_R is None else len(rows_R)
        k = min(k, count)
        if not k:
            empty = np.zeros((len(asked_QE), 0))
            return empty.astype(np.int64), empty.astype(np.float32)
        gathered = rows_R is not None and count <= SELECTIVE * len(self)
        x_RE = self.half_NE[rows_R] if gathered and rows_R is not None else self.half_NE
        mask_N = None if gathered or keep_N is None else torch.from_numpy(np.asarray(keep_N, bool))
        near_QA = _candidates(asked_QE, x_RE, min(AGAIN * k, count), mask_N)
        near_QA = rows_R[near_QA] if gathered and rows_R is not None else near_QA
        full_QAE = torch.from_numpy(np.asarray(self.full_NE[near_QA.numpy()], np.float32))
        score_QA = torch.einsum("qe,qae->qa", asked_QE, full_QAE)
        if mask_N is not None:  # candidates may be more than there are rows to keep
            score_QA = score_QA.masked_fill(~mask_N[near_QA], float("-inf"))
        return _best(near_QA, score_QA, k)


def _candidates(query_QE: Tensor, x_RE: Tensor, count: int, mask_R: Tensor | None) -> Tensor:
    """The most promising rows of every query, block by block: (Q, count)."""
    best_QA = torch.empty(len(query_QE), 0)
    rows_QA = torch.empty(len(query_QE), 0, dtype=torch.long)
    for start in range(0, len(x_RE), BLOCK):
        score_QB = query_QE @ x_RE[start : start + BLOCK].float().T
        if mask_R is not None:
            score_QB.masked_fill_(~mask_R[start : start + BLOCK], float("-inf"))
        here = score_QB.topk(min(count, score_QB.shape[1]), 1)
        best_QA, rows_QA = torch.cat([best_QA, here.values], 1), torch.cat([rows_QA, here.indices + start], 1)
        if best_QA.shape[1] > count:
            chosen = best_QA.topk(count, 1)
            best_QA, rows_QA = chosen.values, rows_QA.gather(1, chosen.indices)
    return rows_QA


def _best(near_QA: Tensor, score_QA: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of the candidates, in order; of equal ones the earlier row first."""
    order_QA = near_QA.argsort(dim=1, stable=True)
    near_QA, score_QA = near_QA.gather(1, order_QA), score_QA.gather(1, order_QA)
    chosen_QK = score_QA.argsort(dim=1, descending=True, stable=True)[:, :k]
    return near_QA.gather(1, chosen_QK).numpy(), score_QA.gather(1, chosen_QK).numpy()
