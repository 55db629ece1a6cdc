"""Corruptions of rows of numbers, dates and categories, as the table has them: (value, ...) -> (value, ...).

A column's spread is that of training (by quartiles), so a price and an age are moved alike. What is drawn for one
column does not depend on the others; missing values and those that cannot be read stay as they are.
"""

# ruff: noqa: ARG001 - every corruption has the same four arguments, and each uses some

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from polyfuse.data.cells.dates import parse_date
from polyfuse.data.cells.numbers import parse_number
from polyfuse.data.cells.source import is_missing

SPREADS = 2.0  # deviation of the noise at severity 1, in spreads of the column
FIRST, LAST = -62_135_596_800, 253_402_300_799  # seconds from 1970 to the years 1 and 9999
DAY = 86_400


def noise(cell: tuple, severity: float, rng: np.random.Generator, transform: Any) -> tuple:
    """Numbers and dates with normal noise; categories drawn anew from those of training, at severity 1 all of them.

    A new category may be the old one: were it always another, a column of two would tell as much as before.
    """
    kinds = zip(cell, transform.modalities, transform.kinds, rng.spawn(len(cell)), strict=True)
    return tuple(
        value if is_missing(value) else _CHANGES[modality](value, severity, own, kind)
        for value, modality, kind, own in kinds
    )


def holes(cell: tuple, severity: float, rng: np.random.Generator, transform: Any) -> tuple:
    """Drop values at random."""
    return tuple(
        None if chance < severity else value for value, chance in zip(cell, rng.random(len(cell)), strict=True)
    )


def _number(value: Any, severity: float, rng: np.random.Generator, kind: Any) -> Any:
    number = parse_number(value)
    return value if number is None else number + SPREADS * severity * kind.scale.spread * float(rng.standard_normal())


def _date(value: Any, severity: float, rng: np.random.Generator, kind: Any) -> Any:
    """Whole days where training knows no times."""
    seconds = parse_date(value)
    if seconds is None:
        return value
    step = 1 if kind.timed else DAY
    moved = round(SPREADS * severity * kind.scale.spread * float(rng.standard_normal()) / step) * step
    return np.datetime64(int(np.clip(seconds + moved, FIRST, LAST)), "s")


def _category(value: Any, severity: float, rng: np.random.Generator, kind: Any) -> Any:
    chance, drawn = rng.random(2)
    return kind.known[int(drawn * len(kind.known))] if kind.known and chance < severity else value


_CHANGES: dict[str, Callable[[Any, float, np.random.Generator, Any], Any]] = {
    "number": _number,
    "date": _date,
    "category": _category,
}
