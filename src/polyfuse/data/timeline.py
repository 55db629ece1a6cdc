"""Order rows by a column of dates or numbers, and split them into consecutive parts.

Rows of the same instant stay together, and so do rows of one group: a border lies only where no group goes on.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from polyfuse.data.cells.numbers import parse_number
from polyfuse.data.modalities import missing_mask
from polyfuse.data.tables import TableError


@dataclass(frozen=True)
class Timeline:
    """The time of each row, and which rows must stay together.

    Args:
        time_N: seconds or plain numbers; NaN in rows that have none.
        block_N: number of the stretch that must not be parted, rising with time; -1 in rows that have none.
        ties: rows that share their instant with another row.
    """

    time_N: np.ndarray
    block_N: np.ndarray
    ties: int


def make_timeline(
    column: pd.Series, groups_N: np.ndarray | None = None, origin: Callable[[int], str] = "row {}".format
) -> Timeline:
    """Make a Timeline: the times of rows, and which rows must stay together.

    Args:
        column: dates (year first, where they are text) or numbers.
        groups_N: group of each row, never parted.
        origin: how messages name a row, as ``Table.origin``.

    Raises:
        TableError: a cell that is neither, named with its row; or no cell at all.
    """
    time_N = _parse_times(column, origin)
    known = np.flatnonzero(~np.isnan(time_N))
    distinct, place_K, count = np.unique(time_N[known], return_inverse=True, return_counts=True)
    open_D = np.ones(len(distinct), bool)  # whether a stretch may begin at an instant
    if groups_N is not None:
        _, group_K = np.unique(groups_N[known], return_inverse=True)
        first, last = np.full(group_K.max() + 1, len(distinct)), np.zeros(group_K.max() + 1, np.int64)
        np.minimum.at(first, group_K, place_K)
        np.maximum.at(last, group_K, place_K)
        within = np.zeros(len(distinct) + 1, np.int64)
        np.add.at(within, first + 1, 1)
        np.add.at(within, last + 1, -1)
        open_D = within.cumsum()[:-1] == 0
    block_N = np.full(len(time_N), -1, np.int64)
    block_N[known] = (open_D.cumsum() - open_D[0])[place_K]
    return Timeline(time_N, block_N, int(count[count > 1].sum()))


def _parse_times(column: pd.Series, origin: Callable[[int], str]) -> np.ndarray:
    gone = missing_mask(column)
    if gone.all():
        raise TableError(f"order column {column.name!r}: every cell is missing, so that no row is older than another")
    cells = [None if missing else cell for cell, missing in zip(column, gone, strict=True)]
    present = [cell for cell in cells if cell is not None]
    read = _parse_number if all(_parse_number(cell) is not None for cell in present) else parse_instant
    found = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        value = None if cell is None else read(cell)
        if cell is not None and value is None:
            raise TableError(
                f"order column {column.name!r}, {origin(row)}: {str(cell)!r} is neither a number nor a date; write "
                "year-month-day, such as 2024-01-31, or leave the cell empty"
            )
        found[row] = np.nan if value is None else value
    return found


def _parse_number(cell: Any) -> float | None:
    value = None if isinstance(cell, datetime.date) else parse_number(cell)
    return value if value is not None and math.isfinite(value) else None


def parse_instant(cell: Any) -> float | None:
    """Seconds from 1970; a date with a time zone counts by its instant, one without as if it were in UTC."""
    if isinstance(cell, np.datetime64):
        cell = pd.Timestamp(cell)
    try:
        found = datetime.datetime.fromisoformat(cell.strip().replace("/", "-")) if isinstance(cell, str) else cell
        if isinstance(found, datetime.datetime):
            return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return (found - datetime.date(1970, 1, 1)).days * 86_400.0 if isinstance(found, datetime.date) else None


def split_by_shares(block_N: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """The part of each row, 0 for the oldest; -1 for rows without a time.

    Every part has a row, and borders lie as near to the shares as blocks allow.

    Args:
        block_N: of ``Timeline``.
        shares: of the parts, the oldest first, adding up to 1; no more of them than there are blocks.
    """
    known = block_N[block_N >= 0]
    numbers, sizes = np.unique(known, return_counts=True)
    ends, wanted = sizes.cumsum(), np.cumsum(shares) * len(known)
    begins = [0]
    for part in range(1, len(shares)):
        possible = np.arange(begins[-1] + 1, len(numbers) - (len(shares) - part) + 1)
        begins.append(int(possible[np.abs(ends[possible - 1] - wanted[part - 1]).argmin()]))
    part_N = np.searchsorted(numbers[begins], block_N, side="right") - 1
    return np.where(block_N >= 0, part_N, -1)


def split_evenly(block_N: np.ndarray, count: int) -> np.ndarray | None:
    """The part of each row, of about equal parts in time, as many as there can be up to ``count``; None below two."""
    count = min(count, len(np.unique(block_N[block_N >= 0])))
    return split_by_shares(block_N, [1 / count] * count) if count >= 2 else None
