"""Coerce the cells of one column to one plain type: texts, numbers, flags, dates, arrays, media, or missing.

Cells keep what was written. A column of CSV text becomes numbers only when every value is one and none has leading
zeros, so that ``007`` stays ``007`` and a country called ``NA`` stays on the map; whole numbers stay whole beside
missing cells, or label 3 would be 3.0 in one table and 3 in another.
"""

from __future__ import annotations

import numbers
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from polyfuse.data.cells.source import repair_surrogates
from polyfuse.errors import format_count

MISSING = frozenset(("", "nan", "NaN", "<NA>", "#N/A", "null", "NULL", "\\N"))
"""Missing in every column of a CSV file."""
GAPS = frozenset(("NA", "N/A", "n/a", "na", "None", "none", "-", "--", "?", "."))
"""Missing only between numbers; elsewhere they are values, as they may mean something there."""

INTEGER = r"[+-]?(?:0|[1-9][0-9]{0,14})"
EXPONENT = r"[eE][+-]?[0-9]+"
FRACTION = rf"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*(?:{EXPONENT})?|{EXPONENT})|\.[0-9]+(?:{EXPONENT})?)"
NUMBER = rf"(?:{INTEGER}|{FRACTION}|[+-]?inf)"
FLAGS = ({"True": True, "False": False}, {"true": True, "false": False}, {"TRUE": True, "FALSE": False})


def parse_text_column(series: pd.Series) -> tuple[pd.Series, list[str]]:
    """Convert a column of CSV text to numbers or flags where every present value is one; else keep the text."""
    series = series.mask(series.isin(MISSING))
    present = series.dropna()
    if present.empty:
        return series, []
    if any(set(present.unique()) <= words.keys() for words in FLAGS):
        truth = series.map({word: value for words in FLAGS for word, value in words.items()}, na_action="ignore")
        return truth.astype("boolean" if series.isna().any() else "bool"), []
    is_number = present.str.fullmatch(NUMBER)
    if is_number.any() and present[~is_number].isin(GAPS).all():
        return _parse_numbers(series.mask(series.isin(GAPS))), []
    kept = [f"{gap!r} in {n:,} rows" for gap, n in present[present.isin(GAPS)].value_counts().items()]
    return series, [f"column {series.name!r}: {', '.join(kept)} kept as a value, not as missing"] if kept else []


def _parse_numbers(series: pd.Series) -> pd.Series:
    """Parse numbers; whole ones stay whole beside missing cells, or label 3 would be 3.0 in one table."""
    series = series.str.removeprefix("+")  # pyarrow knows no +1
    if series.dropna().str.fullmatch(INTEGER).all():
        return series.astype("Int64") if series.isna().any() else series.astype("int64")
    return series.astype(float)


def repair_text_column(series: pd.Series) -> tuple[pd.Series, list[str]]:
    """Replace half surrogates in texts, which files and pandas' strings cannot hold; see ``repair_surrogates``."""
    if series.dtype != object or not (halves := sum(map(_has_half_surrogate, series))):
        return series, []
    count = format_count(halves, "cell holds", "cells hold")
    note = f"column {series.name!r}: {count} half a surrogate pair, read as \ufffd"
    return pd.Series([_repair_cell(cell) for cell in series], series.index, object, series.name), [note]


def drop_signalling_nans(series: pd.Series) -> pd.Series:
    """Replace Decimal's signalling NaN, at which every comparison raises, by missing cells."""
    if series.dtype != object:
        return series
    signals = np.fromiter((isinstance(cell, Decimal) and cell.is_snan() for cell in series), bool, len(series))
    if not signals.any():
        return series
    cells = [None if signal else cell for cell, signal in zip(series, signals, strict=True)]
    return pd.Series(cells, series.index, object, series.name)


def _has_half_surrogate(cell: Any) -> bool:
    if isinstance(cell, str):
        return repair_surrogates(cell) != cell
    if isinstance(cell, (list, tuple)):
        return any(map(_has_half_surrogate, cell))
    return isinstance(cell, dict) and any(map(_has_half_surrogate, cell.values()))


def _repair_cell(cell: Any) -> Any:
    if isinstance(cell, str):
        return repair_surrogates(cell)
    if type(cell) in (list, tuple):
        return type(cell)(map(_repair_cell, cell))
    return {name: _repair_cell(part) for name, part in cell.items()} if isinstance(cell, dict) else cell


def coerce_column(series: pd.Series) -> tuple[pd.Series, list[str]]:
    """Convert a column of objects to numbers or flags where all present cells are; texts beside numbers make text."""
    if series.dtype.kind == "m":
        return series.dt.total_seconds(), [f"column {series.name!r}: durations read as seconds"]
    if series.dtype != object:
        return series, []
    kind = pd.api.types.infer_dtype(series, skipna=True)
    gaps = bool(series.isna().any())
    if kind in ("floating", "mixed-integer-float", "decimal"):
        return series.astype(float), []
    if kind == "boolean":
        return series.astype("boolean" if gaps else "bool"), []
    if kind == "integer":
        return _coerce_integers(series, gaps)
    return _coerce_mixed(series) if kind.startswith("mixed") else (series, [])


def _coerce_integers(series: pd.Series, gaps: bool) -> tuple[pd.Series, list[str]]:
    try:
        return series.astype("Int64" if gaps else "int64"), []
    except (OverflowError, TypeError):
        note = f"column {series.name!r}: whole numbers of more than 18 digits are kept as text"
        return series.map(str, na_action="ignore"), [note]


def _coerce_mixed(series: pd.Series) -> tuple[pd.Series, list[str]]:
    """Texts among numbers make all of them text; the object arrays that Parquet gives for lists become lists."""
    series = series.map(_unwrap_array)
    present = series[~series.map(_is_missing)]
    if present.map(lambda cell: isinstance(cell, (str, numbers.Number, np.bool_))).all():
        note = f"column {series.name!r} mixes texts, numbers or flags: all read as text"
        return series.where(series.map(_is_missing), series.map(str)), [note]
    return series, []


def _unwrap_array(cell: Any) -> Any:
    if isinstance(cell, np.ndarray) and (cell.dtype == object or cell.ndim == 0):
        return cell.tolist()
    return cell


def _is_missing(cell: Any) -> bool:
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and cell != cell)
