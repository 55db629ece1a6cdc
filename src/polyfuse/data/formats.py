"""Infer how a column of text writes numbers and dates (decimal mark, order of day and month), over all its cells.

``0,641`` may be a fraction or a number without one, ``03/04/2024`` a day in March or in April. What some cells can only
mean decides for all; then the column before it decides for one that leaves it open; what stays open is not guessed.
Cells are brought to one form (decimal point, year first), so that nothing behind this file knows of conventions, and
the recipe keeps what was decided, for the rows of a later table may not show it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from polyfuse.data.cells.forms import DAY, REWRITE
from polyfuse.data.cells.numbers import COMMA, POINT, strip_number
from polyfuse.data.coerce import GAPS, MISSING, parse_text_column

FORMATS = ("point", "comma", "day_first", "month_first")
"""Decimal point, which is how cells are read anyway, decimal comma, and the order of dates."""

MOST = 0.95
"""Share of a column's different texts that must be written one way."""
LOOKED_AT = 50
"""Texts after which a column without a number or date among them is left alone."""


class FormatFinding(NamedTuple):
    """The format inferred for a column, whether it is certain, a note, or why it is ambiguous."""

    format: str = ""
    sure: bool = False
    note: str = ""
    open: str = ""


@dataclass
class FormattedFrame:
    """A frame whose numbers and dates have one format.

    Args:
        formats: column -> format, of those that were rewritten or named.
        undecided: column -> why its numbers or dates can be read in two ways.
    """

    frame: pd.DataFrame
    formats: dict[str, str] = field(default_factory=dict)
    undecided: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def normalize_formats(
    frame: pd.DataFrame, named: Mapping[str, str], *, decide: bool = True, usual: str = "", typed: bool = False
) -> FormattedFrame:
    """Rewrite texts of numbers and dates in one format: a decimal point, the year first.

    Args:
        named: column -> format that is known.
        decide: find out the formats of the other columns.
        usual: the format of numbers that the file's own form suggests (a semicolon between cells: ``comma``).
        typed: make numbers of rewritten columns that hold nothing else, as reading a file does anyway.
    """
    found = _infer_formats(frame, named, usual) if decide else {}
    formats = {column: finding.format for column, finding in found.items() if finding.format not in ("", "point")}
    formats |= {column: format for column, format in named.items() if column in frame}
    texts = [column for column in formats if formats[column] != "point" and frame[column].dtype in (object, "str")]
    columns = {column: apply_format(frame[column], formats[column]) for column in texts}
    if typed:
        columns = {n: parse_text_column(s)[0] if _only_texts(s) else s for n, s in columns.items()}
    return FormattedFrame(
        frame.assign(**columns) if columns else frame,
        formats,
        {column: finding.open for column, finding in found.items() if finding.open},
        [f"column {c!r}: {f.note or f.open}" for c, f in found.items() if f.note or f.open],
    )


def apply_format(series: pd.Series, format: str) -> pd.Series:
    """Rewrite a column from a format to decimal points and dates with the year first; other texts stay as they are."""
    change = REWRITE[format]
    return series.map(lambda cell: change(cell) if isinstance(cell, str) else cell)


def _only_texts(series: pd.Series) -> bool:
    return all(isinstance(cell, str) for cell in series.dropna())


def _infer_formats(frame: pd.DataFrame, named: Mapping[str, str], usual: str) -> dict[str, FormatFinding]:
    """Column -> finding, where there is something to decide."""
    texts = {name: _candidate_texts(frame[name]) for name in frame if name not in named}
    found = {name: _infer_format(cells) for name, cells in texts.items() if cells}
    sure = {finding.format for finding in found.values() if finding.sure and finding.format in ("point", "comma")}
    if len(sure) == 1:
        usual = sure.pop()
    for name, finding in found.items():
        if finding.format in ("", "point") and not finding.sure:
            found[name] = _resolve_ambiguous(texts[name], finding, usual)
    return {n: f._replace(note=f.note.replace("COLUMN", n), open=f.open.replace("COLUMN", n)) for n, f in found.items()}


def _candidate_texts(series: pd.Series) -> list[str]:
    """The different present texts of a column that holds nothing but texts, some of which may be numbers or dates."""
    if series.dtype not in (object, "str") or not _only_texts(series):
        return []
    texts = [cell for cell in series.dropna().unique() if cell.strip() and cell not in MISSING and cell not in GAPS]
    some = texts[:: max(1, len(texts) // LOOKED_AT)]
    promising = sum(_is_number(cell) or bool(DAY.fullmatch(cell.strip())) for cell in some) >= 0.5 * len(some)
    return texts if promising else []


def _is_number(text: str) -> bool:
    number = strip_number(text)
    return bool(POINT.fullmatch(number) or COMMA.fullmatch(number))


def _infer_format(texts: Sequence[str]) -> FormatFinding:
    days = [DAY.fullmatch(text.strip()) for text in texts]
    known = [day for day in days if day]
    return (
        _infer_date_order(known, len(texts))
        if len(known) >= MOST * len(texts)
        else _infer_decimal_mark([strip_number(text) for text in texts])
    )


def _infer_decimal_mark(numbers: Sequence[str]) -> FormatFinding:
    """Infer the decimal mark of the numbers of a column."""
    point = [bool(POINT.fullmatch(number)) for number in numbers]
    comma = [bool(COMMA.fullmatch(number)) for number in numbers]
    least = MOST * len(numbers)
    if sum(a or b for a, b in zip(point, comma, strict=True)) < least:
        return FormatFinding()  # no column of numbers
    only_point = next((n for n, a, b in zip(numbers, point, comma, strict=True) if a and not b), "")
    only_comma = next((n for n, a, b in zip(numbers, point, comma, strict=True) if b and not a), "")
    if only_comma and sum(comma) >= least and (not only_point or sum(point) < least):
        dots = ", points as marks between thousands" if any("." in number for number in numbers) else ""
        return FormatFinding("comma", sure=True, note=f"commas read as decimal points{dots}")
    if only_point and sum(point) >= least and (not only_comma or sum(comma) < least):
        return FormatFinding("point", sure=True)
    if only_point and only_comma:
        return FormatFinding(
            open=f"holds {only_point!r} and {only_comma!r}, so that the decimal mark differs; write one"
        )
    return (
        FormatFinding("point")
        if any(mark in number for number in numbers for mark in ".,")
        else FormatFinding("", sure=True)
    )


def _resolve_ambiguous(texts: Sequence[str], finding: FormatFinding, usual: str) -> FormatFinding:
    """A column in which every mark has three digits behind it: thousands or thousandths, by what is usual elsewhere."""
    if finding.open or not finding.format:
        return finding
    numbers = [strip_number(text) for text in texts]
    marked = [number for number in numbers if "," in number or "." in number]
    example, mark = marked[0], "," if "," in marked[0] else "."
    taken = usual or _likely_decimal_mark(numbers, marked, mark)
    if not taken or len({"," in number for number in marked}) > 1:
        other = next((n for n in marked if mark not in n), next((n for n in numbers if n not in marked), ""))
        return FormatFinding(
            open=f"{example!r}{f' beside {other!r}' if other else ''} can be read in two ways, as thousands or with "
            f"three decimals; say which mark is the decimal one: data.formats.COLUMN=point or data.formats.COLUMN=comma"
        )
    value = example.replace(",", "") if taken == "point" else example.replace(".", "").replace(",", ".")
    note = f"{example!r} is read as {value}; were it otherwise, set data.formats.COLUMN="
    return FormatFinding(taken, note=note + ("comma" if taken == "point" else "point"))


def _likely_decimal_mark(numbers: Sequence[str], marked: Sequence[str], mark: str) -> str:
    """The likely decimal mark of these numbers alone, or empty."""
    whole = [abs(int(number)) for number in numbers if re.fullmatch(r"[+-]?\d+", number)]
    if mark == "," or not whole or max(whole) >= 1000:
        return "point"  # thousands as in English, or as many decimals in every cell, or thousands without a mark
    # cut to its digits, a fraction ends in no 0, and with as many decimals everywhere 850 would be 850.000
    return "comma" if any(number.endswith("0") for number in marked) else ""


def _infer_date_order(days: Sequence[re.Match], count: int) -> FormatFinding:
    """Infer whether day or month comes first in the dates of a column."""
    first, second = [int(day[1]) for day in days], [int(day[3]) for day in days]
    day_first = [0 < d <= 31 and 0 < m <= 12 for d, m in zip(first, second, strict=True)]
    month_first = [0 < d <= 31 and 0 < m <= 12 for d, m in zip(second, first, strict=True)]
    years = [day[4] for day in days]
    if any(len(year) == 2 for year in years) and not any(len(year) == 4 or int(year) > 31 for year in years):
        dotted = all(day[2] == "." for day in days)  # 31/12/24 may begin with the year, 31.12.24 does not
        if not dotted:
            return FormatFinding(
                open=f"{days[0][0]!r} has a year of two digits that may be a day; write year-month-day"
            )
    day_only = sum(a and not b for a, b in zip(day_first, month_first, strict=True))
    month_only = sum(b and not a for a, b in zip(day_first, month_first, strict=True))
    least = MOST * count
    if sum(day_first) < least and sum(month_first) < least:
        if day_only and month_only:
            return FormatFinding(
                open="holds dates with the day first and others with the month first; write year-month-day"
            )
        return FormatFinding(sure=True)
    if day_only and (not month_only or sum(month_first) < least):
        return FormatFinding(
            "day_first", sure=True, note=f"dates read with the day first, such as {_unambiguous_example(days, 1)}"
        )
    if month_only and (not day_only or sum(day_first) < least):
        return FormatFinding(
            "month_first", sure=True, note=f"dates read with the month first, such as {_unambiguous_example(days, 3)}"
        )
    if all(day[2] == "." for day in days):
        return FormatFinding("day_first", sure=True, note=f"dates read with the day first, such as {days[0][0]}")
    return FormatFinding(
        open=f"no day is above 12, so that {days[0][0]!r} can be read in two ways; write year-month-day, or name "
        "the order: data.formats.COLUMN=day_first or month_first"
    )


def _unambiguous_example(days: Sequence[re.Match], place: int) -> str:
    return next(day[0] for day in days if int(day[place]) > 12)
