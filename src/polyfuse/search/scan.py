"""Exact nearest neighbours: all vectors in half precision, the best few again in single precision.

Half precision halves the bytes that a query has to read; what it may confuse is settled by the second look. Rows are
compared block by block, each converted once for all queries and multiplied while it lies in the cache; of every few
rows only the best score is kept, as sorting all scores would cost as much as making them. torch's threads do the work
(``torch.set_num_threads``, ``OMP_NUM_THREADS``).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

BLOCK = 2**19  # numbers of rows in work at a time: in single precision they stay in the cache
GROUP = 8  # rows of which the best score alone is kept
STRETCH = 2**5  # blocks after which the best groups so far are chosen
AGAIN = 4  # times as many candidates as are asked for, looked at again
MOST_AGAIN = 2**13  # rows that one query may look at again through groups; beyond, single rows are chosen
WORK = 2**21  # numbers of candidates in work at a time
QUERIES = 2**8  # asked together at most
SELECTIVE = 0.25  # share of rows below which a filter's rows are gathered first


class DamagedVectors(Exception):
    """The two precisions of a row are not the same row."""


class Scan:
    """Unit vectors that can be searched.

    Args:
        full_NE: float32, in memory or mapped: read for candidates alone.
        half_NE: the same in float16, read for every query; made where it is not given.
    """

    def __init__(self, full_NE: np.ndarray, half_NE: np.ndarray | None = None):
        self.full_NE = full_NE
        half_NE = np.ascontiguousarray(full_NE if half_NE is None else half_NE, np.float16)
        self._full_NE, self._half_NE = torch.from_numpy(full_NE), torch.from_numpy(half_NE)

    def __len__(self) -> int:
        return len(self._half_NE)

    def top(self, query_QE: np.ndarray, k: int, keep_N: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows by cosine of unit vectors, best first.

        Args:
            keep_N: rows that may be found; all by default.

        Returns:
            Row numbers and scores, (Q, min(k, rows kept)); of equal scores the earlier row comes first.

        Raises:
            Damaged: a row that was found differs in the two precisions.
        """
        rows_R = None if keep_N is None or keep_N.all() else torch.from_numpy(np.flatnonzero(keep_N))
        count = len(self) if rows_R is None else len(rows_R)
        k = min(k, count)
        if not k:
            return np.zeros((len(query_QE), 0), np.int64), np.zeros((len(query_QE), 0), np.float32)
        keep = None if rows_R is None else torch.from_numpy(np.asarray(keep_N, bool))
        found: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for start in range(0, len(query_QE), QUERIES):
            asked_QE = torch.from_numpy(np.ascontiguousarray(query_QE[start : start + QUERIES], np.float32))
            near_QA = self._candidates(asked_QE, min(AGAIN * k, count), rows_R, keep)
            together = max(1, WORK // (near_QA.shape[1] * asked_QE.shape[1]))
            for q_QE, near in zip(asked_QE.split(together), near_QA.split(together), strict=True):
                best_QC = self._rank_in_half_precision(q_QE, near, min(AGAIN * k, count), keep)
                for side, part in zip((found, scores), self.rescore(q_QE.numpy(), best_QC.numpy(), k), strict=True):
                    side.append(part)
        return np.concatenate(found), np.concatenate(scores)

    def rescore(self, query_QE: np.ndarray, near_QA: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k best of some rows (Q, A) in order, with their scores in single precision; of equal ones the earlier.

        Args:
            near_QA: numbers of rows, each once; -1 is none, and k or more are some.

        Raises:
            Damaged: one of them differs in the two precisions.
        """
        rows = torch.from_numpy(near_QA).clamp(min=0).flatten()
        full_AE, half_AE = self._full_NE.index_select(0, rows), self._half_NE.index_select(0, rows)
        if not torch.equal(full_AE.half().view(torch.int16), half_AE.view(torch.int16)):  # as integers: much faster
            raise DamagedVectors("a vector in half precision is not the one in single precision")
        score_QA = _products(torch.from_numpy(query_QE), full_AE).numpy()
        score_QA[near_QA < 0] = -np.inf
        order_QK = np.lexsort((near_QA, -score_QA), axis=1)[:, :k]
        return np.take_along_axis(near_QA, order_QK, 1), np.take_along_axis(score_QA, order_QK, 1)

    def _rank_in_half_precision(self, query_QE: Tensor, near_QA: Tensor, count: int, keep_N: Tensor | None) -> Tensor:
        """The best of the candidates by half precision (Q, C), -1 where there is none.

        Args:
            keep_N: rows that may be found: others stand in groups with them.
        """
        rows = near_QA.clamp(min=0)
        score_QA = _products(query_QE, self._half_NE.index_select(0, rows.flatten()).float())
        score_QA.masked_fill_(near_QA < 0 if keep_N is None else (near_QA < 0) | ~keep_N[rows], float("-inf"))
        best = score_QA.topk(min(count, near_QA.shape[1]), 1)
        return near_QA.gather(1, best.indices).masked_fill(best.values == float("-inf"), -1)

    def _candidates(self, query_QE: Tensor, count: int, rows_R: Tensor | None, keep_N: Tensor | None) -> Tensor:
        """Rows among which the best ``count`` of every query are, by half precision: (Q, A), -1 where there is none."""
        gathered = rows_R is not None and len(rows_R) <= SELECTIVE * len(self)
        total = len(rows_R) if gathered and rows_R is not None else len(self)
        group = GROUP if count * GROUP <= MOST_AGAIN else 1
        block = min(max(1, BLOCK // self._half_NE.shape[1] // group), -(-total // group)) * group
        blocks = _Blocks(self._half_NE, rows_R if gathered else None, None if gathered else keep_N, total, block)
        chosen_QC = _best_groups(blocks, query_QE, count, group)
        step = block // group  # from one row of a group to the next
        first_QC1 = (chosen_QC // step * block + chosen_QC % step)[..., None]
        near_QA = (first_QC1 + step * torch.arange(group)).flatten(1)
        near_QA = near_QA.masked_fill(near_QA >= total, -1)
        if gathered and rows_R is not None:
            near_QA = torch.where(near_QA < 0, near_QA, rows_R[near_QA.clamp(min=0)])
        return near_QA


def _products(query_QE: Tensor, x_AE: Tensor) -> Tensor:
    """Of every query with as many rows of its own: (Q, A)."""
    return torch.bmm(x_AE.view(len(query_QE), -1, x_AE.shape[1]), query_QE[..., None])[..., 0]


class _Blocks:
    """Scores of all rows, some rows at a time.

    Args:
        half_NE: float16.
        rows_R: the rows that are compared; all by default.
        keep_N: rows that may be found; all by default, and where ``rows_R`` says which.
    """

    def __init__(self, half_NE: Tensor, rows_R: Tensor | None, keep_N: Tensor | None, total: int, size: int):
        self.half_NE, self.rows_R, self.keep_N, self.total, self.size = half_NE, rows_R, keep_N, total, size

    def scores(self, query_QE: Tensor) -> Iterator[Tensor]:
        """(B, Q) float32 in one buffer that is used again; -inf where there is no row, or one that is not kept."""
        query_EQ = query_QE.T.contiguous()
        wide_BE = torch.empty(self.size, query_QE.shape[1])
        score_BQ = torch.empty(self.size, len(query_QE))
        for start in range(0, self.total, self.size):
            stop = min(start + self.size, self.total)
            here = slice(start, stop)
            x_BE = wide_BE[: stop - start]
            x_BE.copy_(self.half_NE[here] if self.rows_R is None else self.half_NE[self.rows_R[here]])
            if len(query_QE) == 1:  # faster than a product of matrices
                torch.mv(x_BE, query_EQ[:, 0], out=score_BQ[: stop - start, 0])
            else:
                torch.mm(x_BE, query_EQ, out=score_BQ[: stop - start])
            score_BQ[stop - start :] = float("-inf")
            if self.keep_N is not None:
                score_BQ[: stop - start].masked_fill_(~self.keep_N[here, None], float("-inf"))
            yield score_BQ


def _best_groups(blocks: _Blocks, query_QE: Tensor, count: int, group: int) -> Tensor:
    """The groups with the best rows of every query (Q, C); a block of B rows has groups of rows B / group apart."""
    step = blocks.size // group
    best_QC = torch.empty(len(query_QE), 0)
    chosen_QC = torch.empty(len(query_QE), 0, dtype=torch.long)
    waiting: list[Tensor] = []
    begun, ends = 0, -(-blocks.total // blocks.size)
    for number, score_BQ in enumerate(blocks.scores(query_QE), 1):
        waiting.append(score_BQ.view(group, step, -1).amax(0) if group > 1 else score_BQ.clone())
        if number % STRETCH and number < ends:
            continue
        best_GQ = torch.cat(waiting)
        here = best_GQ.T.contiguous().topk(min(count, len(best_GQ)), 1)
        best_QC = torch.cat([best_QC, here.values], 1)
        chosen_QC = torch.cat([chosen_QC, here.indices + begun], 1)
        if best_QC.shape[1] > count:
            best = best_QC.topk(count, 1)
            best_QC, chosen_QC = best.values, chosen_QC.gather(1, best.indices)
        begun, waiting = begun + len(best_GQ), []
    return chosen_QC
