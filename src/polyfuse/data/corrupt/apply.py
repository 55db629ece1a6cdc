"""Corrupt an input's cells of some rows, ready for an encoder; nothing else of the batch is touched."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from polyfuse.data.batches import gather
from polyfuse.data.cells.source import BadCell, Limits, content_digest
from polyfuse.data.corrupt.table import Corruption
from polyfuse.data.prepare import Prepared
from polyfuse.records import Cells

RAW = frozenset({"text", "columns"})  # changed as the table has them, then encoded again


@dataclass(frozen=True)
class Source:
    """One input of a table.

    Args:
        name: of the input; two inputs get different noise.
        modality: of its columns.
        prepared: its cells over the whole table.
        frame: its columns, as the table has them.
        numbers_R: a number per row that names it; noise follows it, whatever other rows are there.
        limits: under which cells are encoded.
    """

    name: str
    modality: str
    prepared: Prepared
    frame: pd.DataFrame
    numbers_R: np.ndarray
    limits: Limits

    def cell(self, row: int, slot: int) -> Any:
        """A present cell, at the level where it is changed."""
        if self.modality not in RAW:
            return self.prepared.cells[self.prepared.index_RK[row, slot]]
        if self.prepared.transform.joint:
            return tuple(self.frame.iat[row, at] for at in range(self.frame.shape[1]))
        return self.frame.iat[row, slot]


def corrupt_cells(
    source: Source, rows: np.ndarray, corruptions: Mapping[str, Corruption], severity: float, seed: int
) -> Cells:
    """Corrupt an input's cells of some rows.

    Args:
        rows: positions in the table.
        corruptions: name -> corruption. Of several, each row suffers one, drawn by chance and the same at any severity.

    Returns:
        Cells in the order of ``rows``. What was missing stays missing, and so is a cell of which nothing is left.
    """
    places: list[tuple[int, int]] = []
    changed: list[Any] = []
    for at, row in enumerate(rows):
        name = _choose_corruption(source, int(row), list(corruptions), seed)
        for slot in np.flatnonzero(source.prepared.index_RK[row] >= 0):
            rng = _generator(source, int(row), seed, name, -1 if corruptions[name].whole else int(slot))
            cell = corruptions[name](source.cell(int(row), int(slot)), severity, rng, source.prepared.transform)
            if cell is not None:
                places.append((at, int(slot)))
                changed.append(cell)
    if source.modality in RAW:
        changed = source.prepared.transform.encode(changed, source.limits)
    return _cells(source.prepared, len(rows), places, changed)


def _choose_corruption(source: Source, row: int, names: list[str], seed: int) -> str:
    if len(names) == 1:
        return names[0]
    return names[int(_generator(source, row, seed, "choice", -1).integers(len(names)))]


def _generator(source: Source, row: int, seed: int, purpose: str, slot: int) -> np.random.Generator:
    """Random numbers for one cell and purpose, the same whatever else there is."""
    words = (zlib.crc32(text.encode("utf8", "surrogatepass")) for text in (source.name, purpose))
    return np.random.default_rng([seed, *words, int(source.numbers_R[row]), slot + 1])


def _cells(
    prepared: Prepared, rows: int, places: Sequence[tuple[int, int]], arrays: Sequence[np.ndarray | BadCell]
) -> Cells:
    index = np.full((rows, prepared.index_RK.shape[1]), -1, dtype=np.int64)
    kept: dict[bytes, np.ndarray] = {}
    numbers: dict[bytes, int] = {}
    for place, array in zip(places, arrays, strict=True):
        if not isinstance(array, BadCell):
            key = content_digest(array)
            kept[key] = array
            index[place] = numbers.setdefault(key, len(numbers))
    own = Prepared(prepared.transform, [kept[key] for key in numbers], index, list(numbers))
    return gather(own, np.arange(rows))
