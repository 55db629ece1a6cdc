"""Approximate nearest neighbours by faiss: rows in cells around centres (IVF), of which the nearest few are looked at.

Jégou et al., Product quantization for nearest neighbor search, PAMI 2011, without the quantization: vectors lie in half
precision and what is found is compared again in single precision. The file is derived from the matrices of an index:
rows that came after it are scanned exactly beside it, and deleted ones are never found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from polyfuse.errors import extra
from polyfuse.search.scan import AGAIN, SELECTIVE, Scan

QUESTIONS, ASKED = 256, 10  # by which the number of cells to look at is chosen, and rows that each asks for
AIM = 0.99  # share of the exact answers that they are to find
MOST_ASKED = 100  # beyond, all rows are looked at: the number of cells was chosen for few
PER_CENTRE = 64  # rows per centre from which the centres are learnt
PART = 2**16  # rows added at once
SEED = 0


def is_installed() -> bool:
    """Whether faiss is installed."""
    return find_spec("faiss") is not None


def build(file: Path, rows: Scan, questions: Sequence[np.ndarray]) -> dict[str, Any]:
    """Make the file of some rows, with how many cells a search has to look at; its facts.

    Args:
        questions: vectors (R, E) such as will be asked with, of every input.

    Raises:
        ImportError: faiss is not installed.
        OSError: the file cannot be written.
    """
    with extra("faiss"):
        import faiss

    count, size = rows.full_NE.shape
    rng = np.random.default_rng(SEED)
    cells = int(max(1, min(4 * np.sqrt(count), count / PER_CENTRE)))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(size), size, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
    )
    index.cp.seed, index.cp.niter = SEED, 10
    sample = np.sort(rng.choice(count, min(count, cells * PER_CENTRE), replace=False))
    index.train(np.array(rows.full_NE[sample]))
    for start in range(0, count, PART):
        index.add(np.array(rows.full_NE[start : start + PART]))
    asked = np.concatenate([x[rng.choice(len(x), min(len(x), QUESTIONS), replace=False)] for x in questions if len(x)])
    probes, recall = _probes(_OpenIndex(index, count, 1), rows, asked)
    facts = {"rows": count, "cells": cells, "probes": probes, "recall": round(recall, 4)}
    with FileLock(file.with_name("faiss.lock")):
        part = file.with_name(file.name + ".part")
        faiss.write_index(index, str(part))
        facts["bytes"] = part.stat().st_size
        _facts_of(file).unlink(missing_ok=True)  # a file without facts is none
        part.replace(file)
        part.write_text(json.dumps(facts), encoding="utf8")
        part.replace(_facts_of(file))
    return facts


def open_index(file: Path) -> _OpenIndex | None:
    """The file mapped into memory; None where there is none, or it is damaged, or faiss is not installed."""
    if not is_installed():
        return None
    import faiss

    try:
        facts = json.loads(_facts_of(file).read_text(encoding="utf8"))
        if os.stat(file).st_size != facts["bytes"]:
            return None
        index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP)
        return _OpenIndex(index, int(facts["rows"]), int(facts["probes"]))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):  # faiss raises the last for what it cannot read
        return None


def _facts_of(file: Path) -> Path:
    return file.with_name(file.name + ".json")


def _probes(index: _OpenIndex, rows: Scan, asked_QE: np.ndarray) -> tuple[int, float]:
    """The smallest power of two of cells that finds enough of what a full scan finds, and how much that is."""
    exact_QK = rows.top(asked_QE, ASKED)[0]
    probes, recall = 1, 0.0
    while True:
        found = [index.over(rows, probes).top(query_E, ASKED, None) for query_E in asked_QE]
        hits = [
            0 if near is None else len(np.intersect1d(near[0], exact_K))
            for near, exact_K in zip(found, exact_QK, strict=True)
        ]
        recall = sum(hits) / exact_QK.size
        if recall >= AIM or probes >= index.cells:
            return probes, recall
        probes = min(2 * probes, index.cells)


class _OpenIndex:
    """An index of faiss over the first rows of a matrix, and how many of its cells a search looks at."""

    def __init__(self, index: Any, rows: int, probes: int):
        self.index, self.rows, self.probes, self.cells = index, rows, probes, int(index.nlist)

    def over(self, rows: Scan, probes: int | None = None) -> Approximate:
        """Together with the rows that it was made of, and those that came later."""
        return Approximate(self, rows, probes or self.probes)


class Approximate:
    """Approximate counterpart of ``Scan``, which looks at few rows."""

    def __init__(self, made: _OpenIndex, rows: Scan, probes: int):
        self._made, self._rows, self._probes = made, rows, probes

    def top(self, query_E: np.ndarray, k: int, keep_N: np.ndarray | None) -> tuple[np.ndarray, np.ndarray] | None:
        """The k nearest rows and their scores; None where a full scan is better: few rows are kept, or many asked for.

        Args:
            keep_N: rows that may be found; all by default.
        """
        made, total = self._made, len(self._rows)
        kept = total if keep_N is None else int(np.count_nonzero(keep_N))
        if kept <= SELECTIVE * total or k > MOST_ASKED:
            return None
        how = _how(min(made.cells, -(-self._probes * total // kept)), None if keep_N is None else keep_N[: made.rows])
        near_A = made.index.search(query_E[None], AGAIN * k, params=how)[1][0]
        near_A = near_A[(near_A >= 0) & (near_A < made.rows)]
        if made.rows < total:
            late_N = np.ones(total, bool) if keep_N is None else keep_N.copy()
            late_N[: made.rows] = False
            near_A = np.concatenate([near_A, self._rows.top(query_E[None], k, late_N)[0][0]])
        if len(near_A) < min(k, kept):
            return None
        near_QA = np.unique(near_A)[None]
        found_QK, score_QK = self._rows.rescore(np.ascontiguousarray(query_E[None], np.float32), near_QA, k)
        return found_QK[0], score_QK[0]


def _how(probes: int, keep_N: np.ndarray | None) -> Any:
    """Search parameters of faiss: the number of cells, and which rows may be found."""
    import faiss

    kinds: Any = faiss  # whose types do not know what its Python code adds
    if keep_N is None or keep_N.all():
        return kinds.SearchParametersIVF(nprobe=probes)
    return kinds.SearchParametersIVF(nprobe=probes, sel=kinds.IDSelectorBitmap(np.packbits(keep_N, bitorder="little")))
