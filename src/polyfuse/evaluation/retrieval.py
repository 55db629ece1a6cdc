"""How well each aligned input finds the others: every cell of one against the whole gallery of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from polyfuse.data.prepare import Prepared
from polyfuse.evaluation.outcome import Outcome
from polyfuse.metrics.intervals import bootstrap
from polyfuse.metrics.retrieval import rank_queries, summarise_ranks
from polyfuse.model.bundle import Bundle
from polyfuse.model.inference import shared_vectors
from polyfuse.model.prepare import make_rows


@dataclass(frozen=True)
class _Side:
    """The distinct cells of one input among some rows.

    Args:
        vectors_CE: one unit vector per cell.
        row_N, cell_N: which row or key has which cell.
        at_N: places of these rows among those judged.
    """

    vectors_CE: np.ndarray
    row_N: np.ndarray
    cell_N: np.ndarray
    at_N: np.ndarray


def evaluate_retrieval(
    bundle: Bundle, prepared: Mapping[str, Prepared], rows: np.ndarray, key_R: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """One finding per ordered pair of aligned inputs; none where the model aligns nothing.

    A cell belongs to another where they stand in one row, or in rows of one key. Equal cells are one entry of the
    gallery, as five captions of a picture are five queries for one picture.

    Args:
        prepared: ``in:NAME`` -> cells of the whole table.
        rows: row numbers to judge.
        key_R: what each row of the table stands for, -1 for nothing known; the row itself by default.

    Returns:
        ``query`` and ``gallery`` (names), ``queries`` and ``size`` (numbers), ``metrics`` and ``intervals`` by name.
    """
    return list(_findings(_sides(bundle, prepared, rows, key_R)))


def retrieval_outcome(
    bundle: Bundle, prepared: Mapping[str, Prepared], rows: np.ndarray, key_R: np.ndarray | None = None
) -> Outcome:
    """The same row by row, for comparing models on the same rows: an outcome of the task ``retrieval``.

    Rows that share a cell share its rank, and each has so much less of its weight.
    """
    sides = _sides(bundle, prepared, rows, key_R)
    pairs = list(permutations(sides, 2))
    rank_RX, share_RX = np.full((len(rows), len(pairs)), np.nan), np.zeros((len(rows), len(pairs)))
    for x, (one, two) in enumerate(pairs):
        query, gallery = sides[one], sides[two]
        rank_Q = rank_queries(query.vectors_CE, gallery.vectors_CE, partial(_dense, _belongs(query, gallery)))[0]
        rank_RX[query.at_N, x] = rank_Q[query.cell_N]
        share_N = np.isfinite(rank_Q)[query.cell_N] / np.bincount(query.cell_N)[query.cell_N]
        share_RX[query.at_N, x] = share_N
    found = [int(row) if any_ else None for row, any_ in zip(rows, share_RX.sum(1) > 0, strict=True)]
    sizes = [len(sides[two].vectors_CE) for _, two in pairs]
    return Outcome("retrieval", found, list(found), probabilities=share_RX, classes=sizes, scores=rank_RX)


def _sides(
    bundle: Bundle, prepared: Mapping[str, Prepared], rows: np.ndarray, key_R: np.ndarray | None
) -> dict[str, _Side]:
    """Of every aligned input, the distinct cells among some rows."""
    network = bundle.network
    if not network.aligned or not len(rows):
        return {}
    count = max((len(cells.index_RK) for cells in prepared.values()), default=0)
    found = shared_vectors(network, make_rows({n: c for n, c in prepared.items() if n.startswith("in:")}, count), rows)
    thing_R = np.arange(len(rows)) if key_R is None else _known(key_R[rows])
    sides = {}
    for name, (vectors_RE, present_R) in found.items():
        index_RK = prepared[f"in:{network.reads[name][0]}"].index_RK[rows]
        at_N = np.flatnonzero(present_R)
        _, first_C, cell_N = np.unique(index_RK[at_N], axis=0, return_index=True, return_inverse=True)
        sides[name] = _Side(vectors_RE[at_N[first_C]], thing_R[at_N], cell_N.reshape(-1), at_N)
    return sides


def _known(key_R: np.ndarray) -> np.ndarray:
    """Keys, rows without one each on their own."""
    return np.where(key_R >= 0, key_R, key_R.max(initial=-1) + 1 + np.arange(len(key_R)))


def _findings(sides: Mapping[str, _Side]) -> Iterator[dict[str, Any]]:
    for one, two in permutations(sides, 2):
        query, gallery = sides[one], sides[two]
        belongs_QG = _belongs(query, gallery)
        rank_Q, precision_Q = rank_queries(query.vectors_CE, gallery.vectors_CE, partial(_dense, belongs_QG))
        asked_Q = np.isfinite(rank_Q)
        if not asked_Q.any():
            continue
        rank_Q, precision_Q = rank_Q[asked_Q], precision_Q[asked_Q]
        whole = summarise_ranks(rank_Q, precision_Q, np.ones(len(rank_Q)))
        intervals = bootstrap(partial(summarise_ranks, rank_Q, precision_Q), len(rank_Q))
        yield {
            "query": one,
            "gallery": two,
            "queries": len(rank_Q),
            "size": len(gallery.vectors_CE),
            "metrics": {name: float(value[0]) for name, value in whole.items()},
            "intervals": {name: list(interval) for name, interval in intervals.items()},
        }


def _dense(belongs_QG: Any, at_q: np.ndarray) -> np.ndarray:
    return belongs_QG[at_q].toarray()


def _belongs(query: _Side, gallery: _Side) -> Any:
    """Sparse (Q, G): whether two cells share a row or key."""
    from scipy.sparse import csr_matrix

    things, row_N = np.unique(np.concatenate([query.row_N, gallery.row_N]), return_inverse=True)
    parts = []
    for side, at_N in ((query, row_N[: len(query.row_N)]), (gallery, row_N[len(query.row_N) :])):
        ones = np.ones(len(at_N), np.float32)
        parts.append(csr_matrix((ones, (side.cell_N, at_N)), shape=(len(side.vectors_CE), len(things))))
    return (parts[0] @ parts[1].T) > 0
