"""Parse dates with the year first or a named month, as people write them in tables.

Which of two numbers is the day is a matter of the whole column (``data.formats``), and settled before.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np

_NAMES = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
MONTHS = {name: number for number, name in enumerate(_NAMES.split("|"), 1)}
_TIME = (
    r"(?:,?(?:T|\s+)(?:at )?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?"
    r"\s*([AaPp]\.?[Mm]\.?)?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})?)?"
)
_MONTH = rf"({_NAMES})[a-z]*\.?"
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_FORMS: tuple[tuple[re.Pattern, tuple[int, int, int]], ...] = tuple(
    (re.compile(form + _TIME, re.ASCII | re.IGNORECASE), order)
    for form, order in (
        (r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})", (1, 2, 3)),
        (r"(\d{4})\s*年\s*(\d{1,2})\s*月\s*(\d{1,2})\s*日", (1, 2, 3)),
        (rf"{_WEEKDAY}(\d{{1,2}})(?:st|nd|rd|th)?\.?[\s-]+{_MONTH}[\s,-]+(\d{{4}})", (3, 2, 1)),
        (rf"{_WEEKDAY}{_MONTH}\s+(\d{{1,2}})(?:st|nd|rd|th)?,?\s+(\d{{4}})", (3, 1, 2)),
    )
)


def parse_datetime(value: Any) -> datetime.datetime | None:
    """Parse a cell as a datetime with the clock and offset that it shows, or None.

    Dates, ``datetime64``, pandas' ``Period`` (its first moment), and text: the year first, as in ISO 8601 or
    2024/1/31 or 2024年1月31日, or a month by its English name, as in 31 Jan 2024 and January 31, 2024 2:30 PM.
    """
    try:
        if isinstance(value, np.datetime64):
            value = value.astype("datetime64[s]").item()
        elif isinstance(value, str):
            return _parse_text(value.strip())
        elif hasattr(value, "start_time"):
            value = value.start_time
        if isinstance(value, datetime.datetime):  # pandas' Timestamp is one, and NaT too, which is not itself
            return value if value == value and 1 <= value.year <= 9999 else None  # Timestamps know further years
        return datetime.datetime.combine(value, datetime.time()) if isinstance(value, datetime.date) else None
    except (ValueError, OverflowError, TypeError):
        return None


def wall_clock_seconds(moment: datetime.datetime) -> float:
    """Seconds from 1970 to a moment as its own clock shows it."""
    return moment.replace(tzinfo=datetime.UTC).timestamp()


def parse_date(value: Any) -> float | None:
    """Seconds from 1970 to a date as its own clock shows it, or None; see ``parse_datetime``."""
    moment = parse_datetime(value)
    return None if moment is None else wall_clock_seconds(moment)


def _parse_text(text: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(text.replace("/", "-"))
    except ValueError:
        found = next(((match, order) for form, order in _FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        return None
    match, order = found
    year, month, day = (match[at] for at in order)
    hour, minute, second, half, zone = match.groups()[3:]
    hours = int(hour or 0) % 12 + (12 if half[0] in "Pp" else 0) if half else int(hour or 0)
    number = MONTHS.get(month[:3].lower()) or int(month)
    at = datetime.datetime(int(year), number, int(day), hours, int(minute or 0), int(second or 0))
    return at.replace(tzinfo=_zone(zone)) if zone else at


def _zone(text: str) -> datetime.timezone:
    if text.upper() in ("Z", "UTC", "GMT"):
        return datetime.UTC
    offset = datetime.timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return datetime.timezone(-offset if text[0] == "-" else offset)
