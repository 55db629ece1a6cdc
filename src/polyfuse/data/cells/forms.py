"""Texts of numbers and dates brought to one form, by the format that a column was found to have in training."""

from __future__ import annotations

import re
from collections.abc import Callable

from polyfuse.data.cells.numbers import with_point

DAY = re.compile(
    r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})"
    r"(?:,?[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*([AaPp]\.?[Mm]\.?)?)?",
    re.ASCII,
)


def _year_first(text: str, day: int, month: int) -> str:
    found = DAY.fullmatch(text.strip())
    if not found:
        return text
    year = found[4] if len(found[4]) == 4 else f"{19 if int(found[4]) > 68 else 20}{found[4]}"
    date = f"{year}-{int(found[month]):02}-{int(found[day]):02}"
    if found[5] is None:
        return date
    hour = int(found[5])
    if found[8]:
        hour = hour % 12 + (12 if found[8][0] in "Pp" else 0)
    return f"{date} {hour:02}:{found[6]}:{found[7] or '00'}"


REWRITE: dict[str, Callable[[str], str]] = {
    "point": str,
    "comma": with_point,
    "day_first": lambda text: _year_first(text, 1, 3),
    "month_first": lambda text: _year_first(text, 3, 1),
}
"""Format -> what brings a text to the form that everything behind reads: a decimal point, the year first."""
