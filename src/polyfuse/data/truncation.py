"""Count the cells that are truncated: texts, sounds and sequences longer than their transform reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from polyfuse.data.cells.source import BadCell, load_media
from polyfuse.data.cells.text import exceeds_limit
from polyfuse.data.media import sample_evenly
from polyfuse.data.media_lists import split_media
from polyfuse.data.prepare import Prepared, Reading

LOOKED = 500  # distinct sounds of a column whose length is looked up again; beyond, their share is estimated


@dataclass(frozen=True)
class Truncation:
    """How many cells of a column are truncated.

    Args:
        cells: how many are longer than the window, each of several in a cell counted; ``exact`` says whether all were
            looked at.
        characters: how many texts have more characters than are read (``data.limits.characters``).
        present: cells of the column.
    """

    column: str
    cells: int
    characters: int
    present: int
    exact: bool = True


def count_truncated(
    prepared: Prepared, frame: pd.DataFrame, columns: Mapping[str, str], rows: np.ndarray, reading: Reading
) -> list[Truncation]:
    """Count truncated cells of some columns in some rows; columns without any are left out.

    Args:
        prepared: the columns' cells over the whole frame, not yet encoded.
        columns: name -> modality, in the order of their slots.
        rows: row numbers, such as those that train.
    """
    transform: Any = prepared.transform
    if not hasattr(transform, "window") or getattr(transform, "whole", False):
        return []
    full = {int(k): transform.fills(prepared.cells[int(k)]) for k in np.unique(prepared.index_RK[rows]) if k >= 0}
    found, slot = [], 0
    for column, kind in columns.items():
        slots = range(slot, slot := slot + (reading.slots.get(column, 1) if transform.media else 1))
        found.append(_count_column(prepared, frame[column], slots, rows, full, reading, kind == "text"))
    return [cut for cut in found if cut.cells or cut.characters]


def _count_column(
    prepared: Prepared,
    series: pd.Series,
    slots: range,
    rows: np.ndarray,
    full: Mapping[int, bool],
    reading: Reading,
    text: bool,
) -> Truncation:
    transform: Any = prepared.transform
    places = [
        (int(row), at, int(k)) for at, slot in enumerate(slots) for row, k in _cells_in_slot(prepared, rows, slot)
    ]
    by_key: dict[Any, list[Any]] = {}  # equal cells are looked at once
    for row, at, k in places:
        cell = split_media(series.iat[row])[at] if transform.media else series.iat[row]
        if full[k]:
            by_key.setdefault(cell if isinstance(cell, str) else k, []).append(cell)
    looked = sample_evenly(list(by_key), LOOKED if transform.media else len(by_key))
    cut = [key for key in looked if _is_truncated(transform, by_key[key][0], reading)]
    count = sum(len(by_key[key]) for key in cut)
    if len(looked) < len(by_key):
        count = round(sum(map(len, by_key.values())) * count / sum(len(by_key[key]) for key in looked))
    characters = sum(exceeds_limit(series.iat[row], reading.limits) for row, *_ in places) if text else 0
    return Truncation(str(series.name), count, characters, len(places), len(looked) == len(by_key))


def _cells_in_slot(prepared: Prepared, rows: np.ndarray, slot: int) -> list[tuple[int, int]]:
    """Row and number of the cell that it has in a slot, for rows that have one."""
    return [(row, k) for row, k in zip(rows, prepared.index_RK[rows, slot], strict=True) if k >= 0]


def _is_truncated(transform: Any, cell: Any, reading: Reading) -> bool:
    if not transform.media:
        return bool(transform.cuts(cell, reading.limits))
    try:
        return bool(transform.cuts(load_media(cell, reading.root, reading.limits), reading.limits))
    except BadCell:  # gone since it was read
        return False
