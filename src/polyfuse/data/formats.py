"""How the numbers and dates of a column of text are written: one convention per column, decided over the whole of it.

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
from polyfuse.data.cells.numbers import COMMA, POINT, bare
from polyfuse.data.plain import GAPS, MISSING, typed_text

FORMATS = ("point", "comma", "day_first", "month_first")
"""Decimal point, which is how cells are read anyway, decimal comma, and the order of dates."""

MOST = 0.95
"""Share of a column's different texts that must be written one way."""
LOOKED_AT = 50
"""Texts after which a column without a number or date among them is left alone."""


class Finding(NamedTuple):
    """What a column's texts say: a format or none, evidence that others may go by, a note, or why it stays open."""

    format: str = ""
    sure: bool = False
    note: str = ""
    open: str = ""


@dataclass
class Formatted:
    """A frame in one form.

    Args:
        formats: column -> format, of those that were rewritten or named.
        undecided: column -> why its numbers or dates can be read in two ways.
    """

    frame: pd.DataFrame
    formats: dict[str, str] = field(default_factory=dict)
    undecided: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def in_one_form(
    frame: pd.DataFrame, named: Mapping[str, str], *, decide: bool = True, usual: str = "", typed: bool = False
) -> Formatted:
    """The frame with its texts of numbers and dates in one form.

    Args:
        named: column -> format that is known.
        decide: find out the formats of the other columns.
        usual: the format of numbers that the file's own form suggests (a semicolon between cells: ``comma``).
        typed: make numbers of rewritten columns that hold nothing else, as reading a file does anyway.
    """
    found = _decided(frame, named, usual) if decide else {}
    formats = {column: finding.format for column, finding in found.items() if finding.format not in ("", "point")}
    formats |= {column: format for column, format in named.items() if column in frame}
    texts = [column for column in formats if formats[column] != "point" and frame[column].dtype in (object, "str")]
    columns = {column: rewritten(frame[column], formats[column]) for column in texts}
    if typed:
        columns = {n: typed_text(s)[0] if _only_texts(s) else s for n, s in columns.items()}
    return Formatted(
        frame.assign(**columns) if columns else frame,
        formats,
        {column: finding.open for column, finding in found.items() if finding.open},
        [f"column {c!r}: {f.note or f.open}" for c, f in found.items() if f.note or f.open],
    )


def rewritten(series: pd.Series, format: str) -> pd.Series:
    """A column with its texts in one form: a decimal point, the year first; others stay as they are."""
    change = REWRITE[format]
    return series.map(lambda cell: change(cell) if isinstance(cell, str) else cell)


def _only_texts(series: pd.Series) -> bool:
    return all(isinstance(cell, str) for cell in series.dropna())


def _decided(frame: pd.DataFrame, named: Mapping[str, str], usual: str) -> dict[str, Finding]:
    """Column -> finding, where there is something to decide."""
    texts = {name: _texts(frame[name]) for name in frame if name not in named}
    found = {name: _finding(cells) for name, cells in texts.items() if cells}
    sure = {finding.format for finding in found.values() if finding.sure and finding.format in ("point", "comma")}
    if len(sure) == 1:
        usual = sure.pop()
    for name, finding in found.items():
        if finding.format in ("", "point") and not finding.sure:
            found[name] = _usual(texts[name], finding, usual)
    return {n: f._replace(note=f.note.replace("COLUMN", n), open=f.open.replace("COLUMN", n)) for n, f in found.items()}


def _texts(series: pd.Series) -> list[str]:
    """The different present texts of a column that holds nothing but texts, some of which may be numbers or dates."""
    if series.dtype not in (object, "str") or not _only_texts(series):
        return []
    texts = [cell for cell in series.dropna().unique() if cell.strip() and cell not in MISSING and cell not in GAPS]
    some = texts[:: max(1, len(texts) // LOOKED_AT)]
    promising = sum(_number(cell) or bool(DAY.fullmatch(cell.strip())) for cell in some) >= 0.5 * len(some)
    return texts if promising else []


def _number(text: str) -> bool:
    number = bare(text)
    return bool(POINT.fullmatch(number) or COMMA.fullmatch(number))


def _finding(texts: Sequence[str]) -> Finding:
    days = [DAY.fullmatch(text.strip()) for text in texts]
    known = [day for day in days if day]
    return _order(known, len(texts)) if len(known) >= MOST * len(texts) else _decimal([bare(text) for text in texts])


def _decimal(numbers: Sequence[str]) -> Finding:
    """Which decimal mark the numbers of a column can only have."""
    point = [bool(POINT.fullmatch(number)) for number in numbers]
    comma = [bool(COMMA.fullmatch(number)) for number in numbers]
    least = MOST * len(numbers)
    if sum(a or b for a, b in zip(point, comma, strict=True)) < least:
        return Finding()  # no column of numbers
    only_point = next((n for n, a, b in zip(numbers, point, comma, strict=True) if a and not b), "")
    only_comma = next((n for n, a, b in zip(numbers, point, comma, strict=True) if b and not a), "")
    if only_comma and sum(comma) >= least and (not only_point or sum(point) < least):
        dots = ", points as marks between thousands" if any("." in number for number in numbers) else ""
        return Finding("comma", sure=True, note=f"commas read as decimal points{dots}")
    if only_point and sum(point) >= least and (not only_comma or sum(comma) < least):
        return Finding("point", sure=True)
    if only_point and only_comma:
        return Finding(open=f"holds {only_point!r} and {only_comma!r}, so that the decimal mark differs; write one")
    return Finding("point") if any(mark in number for number in numbers for mark in ".,") else Finding("", sure=True)


def _usual(texts: Sequence[str], finding: Finding, usual: str) -> Finding:
    """A column in which every mark has three digits behind it: thousands or thousandths, by what is usual elsewhere."""
    if finding.open or not finding.format:
        return finding
    numbers = [bare(text) for text in texts]
    marked = [number for number in numbers if "," in number or "." in number]
    example, mark = marked[0], "," if "," in marked[0] else "."
    taken = usual or _by_itself(numbers, marked, mark)
    if not taken or len({"," in number for number in marked}) > 1:
        other = next((n for n in marked if mark not in n), next((n for n in numbers if n not in marked), ""))
        return Finding(
            open=f"{example!r}{f' beside {other!r}' if other else ''} can be read in two ways, as thousands or with "
            f"three decimals; say which mark is the decimal one: data.formats.COLUMN=point or data.formats.COLUMN=comma"
        )
    value = example.replace(",", "") if taken == "point" else example.replace(".", "").replace(",", ".")
    note = f"{example!r} is read as {value}; were it otherwise, set data.formats.COLUMN="
    return Finding(taken, note=note + ("comma" if taken == "point" else "point"))


def _by_itself(numbers: Sequence[str], marked: Sequence[str], mark: str) -> str:
    """The decimal mark that these numbers make likely, or nothing."""
    whole = [abs(int(number)) for number in numbers if re.fullmatch(r"[+-]?\d+", number)]
    if mark == "," or not whole or max(whole) >= 1000:
        return "point"  # thousands as in English, or as many decimals in every cell, or thousands without a mark
    # cut to its digits, a fraction ends in no 0, and with as many decimals everywhere 850 would be 850.000
    return "comma" if any(number.endswith("0") for number in marked) else ""


def _order(days: Sequence[re.Match], count: int) -> Finding:
    """Which of day and month comes first in the dates of a column."""
    first, second = [int(day[1]) for day in days], [int(day[3]) for day in days]
    day_first = [0 < d <= 31 and 0 < m <= 12 for d, m in zip(first, second, strict=True)]
    month_first = [0 < d <= 31 and 0 < m <= 12 for d, m in zip(second, first, strict=True)]
    years = [day[4] for day in days]
    if any(len(year) == 2 for year in years) and not any(len(year) == 4 or int(year) > 31 for year in years):
        dotted = all(day[2] == "." for day in days)  # 31/12/24 may begin with the year, 31.12.24 does not
        if not dotted:
            return Finding(open=f"{days[0][0]!r} has a year of two digits that may be a day; write year-month-day")
    day_only = sum(a and not b for a, b in zip(day_first, month_first, strict=True))
    month_only = sum(b and not a for a, b in zip(day_first, month_first, strict=True))
    least = MOST * count
    if sum(day_first) < least and sum(month_first) < least:
        if day_only and month_only:
            return Finding(open="holds dates with the day first and others with the month first; write year-month-day")
        return Finding(sure=True)
    if day_only and (not month_only or sum(month_first) < least):
        return Finding("day_first", sure=True, note=f"dates read with the day first, such as {_first(days, 1)}")
    if month_only and (not day_only or sum(day_first) < least):
        return Finding("month_first", sure=True, note=f"dates read with the month first, such as {_first(days, 3)}")
    if all(day[2] == "." for day in days):
        return Finding("day_first", sure=True, note=f"dates read with the day first, such as {days[0][0]}")
    return Finding(
        open=f"no day is above 12, so that {days[0][0]!r} can be read in two ways; write year-month-day, or name "
        "the order: data.formats.COLUMN=day_first or month_first"
    )


def _first(days: Sequence[re.Match], place: int) -> str:
    return next(day[0] for day in days if int(day[place]) > 12)
