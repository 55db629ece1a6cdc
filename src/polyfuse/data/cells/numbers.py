"""Parse numbers as people write them in tables, with a decimal point or a decimal comma."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

EXPONENT = r"(?:[eE][+-]?\d+)?"
POINT = re.compile(rf"[+-]?(?:(?:\d+|[1-9]\d{{0,2}}(?:,\d{{3}})+)(?:\.\d*)?|\.\d+){EXPONENT}", re.ASCII)
"""``1234.5``, ``1,234.5``: a decimal point, commas between thousands or none."""
COMMA = re.compile(rf"[+-]?(?:(?:\d+|[1-9]\d{{0,2}}(?:\.\d{{3}})+)(?:,\d*)?|,\d+){EXPONENT}", re.ASCII)
"""``1234,5``, ``1.234,5``: a decimal comma, points between thousands or none."""
_GROUPS = re.compile(r"[+-]?\d{1,3}(?:['’\u00a0\u202f]\d{3})+(?:[.,]\d*)?|[+-]?\d{1,3}(?: \d{3})+[.,]\d+", re.ASCII)
_MARKS = str.maketrans("", "", "'’\u00a0\u202f ")


def strip_number(text: str) -> str:
    """A number's text without blanks, currency and per cent signs around it, or blanks and apostrophes in thousands."""
    text = text.strip().strip("%$€£¥").strip().replace("\u2212", "-")
    return text.translate(_MARKS) if _GROUPS.fullmatch(text) else text


def to_decimal_point(text: str) -> str:
    """``1.234,5`` -> ``1234.5``; a text that is no number with a decimal comma stays as it is."""
    number = strip_number(text)
    return number.replace(".", "").replace(",", ".") if COMMA.fullmatch(number) else text


def parse_number(value: Any) -> float | None:
    """A cell as a float, or None: ``7``, ``"7.5"``, ``"1,234.5"``, ``" 12 %"`` (12), ``"$3"`` (3); True is 1.

    The point is the decimal mark, and a comma stands between thousands or is no number: ``0,641`` and ``3,5`` are None.
    """
    if not isinstance(value, (bool, int, float, np.integer, np.floating, np.bool_)):
        value = strip_number(str(value))
        if POINT.fullmatch(value):
            value = value.replace(",", "")
        if "_" in value:  # Python's own grammar, in which 12_345 is a number
            return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
