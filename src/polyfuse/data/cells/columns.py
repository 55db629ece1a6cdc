"""Encode numbers, categories and dates of a row as a vector: robust scaling, missing flags, category ids, cyclic dates.

A value that cannot be read counts as missing in its column alone; the rest of the row stays.
"""

from __future__ import annotations

import datetime
import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from polyfuse.data.cells.dates import parse_datetime, wall_clock_seconds
from polyfuse.data.cells.numbers import parse_number
from polyfuse.data.cells.source import BadCell, Limits, is_missing

CLIP = 5.0  # robust standard deviations; what lies beyond is a slip of the pen or a long tail
SKEWED = 1.0  # skewness from which a column without negative numbers is also given on a log scale
MISSING, UNSEEN = 0, 1  # the first two categories of every column
YEAR = 365.2425 * 86_400  # seconds
FREQUENT = 200  # categories of a column that may get a feature of their own
LEVELS = 33  # quantiles of a number that are kept: 0, 1/32, .., 1


class _Kind(Protocol):
    """The fitted encoding of one column."""

    width: int  # numbers it gives
    size: int  # categories it has; 0 for none

    def fit(self, values: Sequence[Any]) -> None: ...

    def read(self, values: Sequence[Any]) -> np.ndarray:
        """Values -> (U, width), NaN where there is nothing to read; category numbers (U, 1) where ``size`` > 0."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class _Scale:
    """Median and spread, by the interquartile range where there is one."""

    def __init__(self, centre: float = 0.0, spread: float = 1.0):
        self.centre, self.spread = centre, spread

    def fit(self, values: np.ndarray) -> None:
        known = values[np.isfinite(values)]
        if not len(known):
            return
        low, self.centre, high = (float(q) for q in np.quantile(known, [0.25, 0.5, 0.75]))
        # 1.349 quartile ranges are one deviation of a normal distribution
        self.spread = (high - low) / 1.349 or float(known.std()) or 1.0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return ((values - self.centre) / self.spread).clip(-CLIP, CLIP)


class _Number:
    """A robustly scaled number; a skewed one without negatives also on a log scale."""

    size = 0

    def __init__(self) -> None:
        self.scale, self.log_scale, self.width = _Scale(), _Scale(), 1

    def fit(self, values: Sequence[Any]) -> None:
        numbers = _numbers(values)
        known = numbers[np.isfinite(numbers)]
        self.scale.fit(known)
        self.log_scale.fit(np.log1p(known.clip(0)))
        self.width = 2 if len(known) and known.min() >= 0 and _skewness(known) > SKEWED else 1

    def read(self, values: Sequence[Any]) -> np.ndarray:
        numbers = _numbers(values)
        return np.column_stack([self.scale(numbers), self.log_scale(np.log1p(numbers.clip(0)))])[:, : self.width]

    def state(self) -> dict[str, Any]:
        return {"scale": vars(self.scale), "log": vars(self.log_scale), "width": self.width}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.scale, self.log_scale, self.width = _Scale(**state["scale"]), _Scale(**state["log"]), state["width"]


def _numbers(values: Sequence[Any]) -> np.ndarray:
    """(U,) float64, NaN where there is no finite number."""
    try:
        # the usual case, fast; None becomes NaN. Texts have a grammar of their own: NumPy would read 12_345
        numbers = np.zeros(()) if any(isinstance(v, str) for v in values) else np.array(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        numbers = np.zeros(())
    if numbers.ndim != 1:  # a value was no number, or each was a list of them
        parsed = (None if is_missing(value) else parse_number(value) for value in values)
        numbers = np.array([np.nan if number is None else number for number in parsed])
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _skewness(values: np.ndarray) -> float:
    spread = values.std()
    return float((((values - values.mean()) / spread) ** 3).mean()) if spread else 0.0


class _Category:
    """The id of a category; those seen less than ``least`` times in training share one, which trains it."""

    width = 0

    def __init__(self, least: int) -> None:
        self.least = least
        self.known: list[str] = []
        self.counts: list[int] = []
        self._index()

    def _index(self) -> None:
        self._place = {label: at for at, label in enumerate(self.known, UNSEEN + 1)}
        for label, at in list(self._place.items()):
            for other in (*_SAME.get(label.lower().removesuffix(".0"), ()), label.removesuffix(".0"), f"{label}.0"):
                self._place.setdefault(other, at)
        self.size = len(self.known) + UNSEEN + 1

    def fit(self, values: Sequence[Any]) -> None:
        counts = _merge_flags(Counter(_normalize_label(value) for value in values if not is_missing(value)))
        self.known = sorted(label for label, count in counts.items() if count >= self.least)
        self.counts = [counts[label] for label in self.known]
        self._index()

    def frequent(self) -> list[int]:
        """Numbers of the categories seen most, in their own order; of a model saved without counts, the first ones."""
        counts = self.counts or [0] * len(self.known)
        most = sorted(range(len(counts)), key=lambda at: -counts[at])[:FREQUENT]
        return [UNSEEN + 1 + at for at in sorted(most)]

    def read(self, values: Sequence[Any]) -> np.ndarray:
        places = [
            MISSING if is_missing(value) else self._place.get(_normalize_label(value), UNSEEN) for value in values
        ]
        return np.array(places, dtype=np.float64)[:, None]

    def state(self) -> dict[str, Any]:
        return {"known": self.known, "counts": self.counts}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.known, self.counts = list(state["known"]), list(state.get("counts", []))
        self._index()


# ways to write a flag, which a file, a frame and a service each have their own of
_TRUE, _FALSE = ("True", "true", "TRUE", "1"), ("False", "false", "FALSE", "0")
_SAME = {"true": _TRUE, "1": _TRUE, "false": _FALSE, "0": _FALSE}


def _merge_flags(counts: Counter) -> Counter:
    """Ways to write one flag counted together, under the one that comes most."""
    for ways in (_TRUE, _FALSE):
        found = [way for way in ways if way in counts]
        if len(found) > 1:
            most = max(found, key=lambda way: counts[way])
            total = sum(counts.pop(way) for way in found)
            counts[most] = total
    return counts


def _normalize_label(value: Any) -> str:
    """One name for 3, 3.0 and "3": a file may bring a code as any of them."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    return str(value).strip()


def _utc_offset(moment: datetime.datetime) -> float | None:
    """Seconds that a moment's clock is ahead of UTC; None where it does not say."""
    offset = moment.utcoffset()
    return None if offset is None else offset.total_seconds()


def _zone_name(moment: datetime.datetime) -> str:
    """The name of a zone with summer time, such as Europe/Berlin; empty for a mere offset."""
    name = str(moment.tzinfo)
    return name if "/" in name else ""


def _zone(name: str) -> datetime.tzinfo | None:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # this machine has no such zone
        return None


class _Date:
    """A date: years from the middle of training, and cyclic features of year, week and, with times, day."""

    size = 0

    def __init__(self) -> None:
        self.scale, self.timed, self.width = _Scale(), False, 5
        self.offsets: list[float] = []  # of the clocks of training, in seconds from UTC, the most frequent first
        self.zone = ""

    def fit(self, values: Sequence[Any]) -> None:
        moments = [
            moment for value in values if not is_missing(value) and (moment := parse_datetime(value)) is not None
        ]
        offsets = Counter(_utc_offset(moment) for moment in moments)
        self.offsets = [at for at, _ in offsets.most_common() if at is not None]
        zones = {_zone_name(moment) for moment in moments}
        self.zone = zones.pop() if len(zones) == 1 else ""
        seconds = self._seconds(values)
        self.scale.fit(seconds)
        self.timed = bool(np.any(seconds[np.isfinite(seconds)] % 86_400))
        self.width = 7 if self.timed else 5

    def _seconds(self, values: Iterable[Any]) -> np.ndarray:
        moments = (None if is_missing(value) else parse_datetime(value) for value in values)
        return np.array(
            [np.nan if m is None else wall_clock_seconds(self._to_training_zone(m)) for m in moments], dtype=np.float64
        )

    def _to_training_zone(self, moment: datetime.datetime) -> datetime.datetime:
        """Convert a datetime to the time zone of training: one instant has one hour in any later table."""
        offset = _utc_offset(moment)
        if offset is None or not self.offsets:
            return moment
        here = _zone(self.zone) if self.zone else None
        if here is None and offset in self.offsets:
            return moment
        try:
            return moment.astimezone(here or datetime.timezone(datetime.timedelta(seconds=self.offsets[0])))
        except OverflowError:  # within a day of the first or last year that there is
            return moment

    def read(self, values: Sequence[Any]) -> np.ndarray:
        seconds = self._seconds(values)
        # 1970 began on a Thursday; the year's own length is near enough for a season
        turns = (seconds / YEAR, (seconds / 86_400 + 3) / 7, seconds / 86_400)[: 3 if self.timed else 2]
        cycles = [wave(2 * np.pi * turn) for turn in turns for wave in (np.sin, np.cos)]
        return np.column_stack([self.scale(seconds), *cycles])

    def state(self) -> dict[str, Any]:
        return {"scale": vars(self.scale), "timed": self.timed, "offsets": self.offsets, "zone": self.zone}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.scale, self.timed = _Scale(**state["scale"]), state["timed"]
        self.offsets, self.zone = list(state.get("offsets", [])), state.get("zone", "")
        self.width = 7 if self.timed else 5


_KINDS: dict[str, Callable[[], _Kind]] = {"number": _Number, "date": _Date}
_HINTS = {"number": "a number", "date": "a date; write year-month-day, such as 2024-01-31"}


class Columns:
    """Numbers, categories and dates of a row together (``columns``); a cell is a tuple with a value per column.

    Fields ``numbers`` (U, N) float32: scaled numbers and dates, then a flag per column that misses values in training;
    ``categories`` (U, C) int64: 0 missing, 1 unseen or rare, from 2 the categories of training.

    Args:
        min_count: categories seen less often in training share the number of unseen ones.
    """

    media, joint = False, True

    def __init__(self, min_count: int = 1):
        self.min_count = min_count
        self.names: list[str] = []
        self.kinds: list[_Kind] = []
        self.flagged: list[int] = []
        self.quantiles: list[list[float]] = []

    def _make(self, modality: str) -> _Kind:
        if modality == "category":
            return _Category(self.min_count)
        if modality not in _KINDS:
            raise ValueError(f"columns: expected numbers, categories and dates, found {modality}")
        return _KINDS[modality]()

    def fit(self, cells: Sequence[tuple], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn each column by itself."""
        self.names, self.modalities = list(columns), list(columns.values())
        self.kinds = [self._make(modality) for modality in self.modalities]
        by_column = list(zip(*cells, strict=True))
        for kind, values in zip(self.kinds, by_column, strict=True):
            kind.fit(values)
        found = [kind.read(values) for kind, values in zip(self.kinds, by_column, strict=True)]
        # a category that is missing has a number of its own, which says so
        self.flagged = [at for at, table in enumerate(found) if self.kinds[at].width and np.isnan(table).any()]
        numbers = self._table(found)[:, : self.facts()["numbers"]].astype(np.float64)
        self.quantiles = np.quantile(numbers, np.linspace(0, 1, LEVELS), axis=0).T.tolist()

    def facts(self) -> dict[str, Any]:
        """``numbers``: N. ``categories``: how many each column of them has. ``quantiles``: of each number in training,
        or none at all in a model saved without them. ``frequent``: per column of categories, those seen most.
        ``owners``: column of each number, among those of numbers and dates. ``flags``: how many of the numbers, the
        last ones, say that a value is missing.
        """
        measured = [at for at, kind in enumerate(self.kinds) if kind.width]
        owners = [n for n, at in enumerate(measured) for _ in range(self.kinds[at].width)]
        named = [kind for kind in self.kinds if isinstance(kind, _Category)]
        return {
            "numbers": sum(kind.width for kind in self.kinds) + len(self.flagged),
            "categories": [kind.size for kind in named],
            "quantiles": self.quantiles,
            "frequent": [kind.frequent() for kind in named],
            "owners": owners + [measured.index(at) for at in self.flagged],
            "flags": len(self.flagged),
        }

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        kinds = [{"modality": m, **kind.state()} for m, kind in zip(self.modalities, self.kinds, strict=True)]
        return {
            "columns": dict(zip(self.names, kinds, strict=True)),
            "flagged": self.flagged,
            "quantiles": self.quantiles,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.names, self.flagged = list(state["columns"]), list(state["flagged"])
        self.quantiles = [list(levels) for levels in state.get("quantiles", [])]
        self.modalities = [column["modality"] for column in state["columns"].values()]
        self.kinds = [self._make(modality) for modality in self.modalities]
        for kind, column in zip(self.kinds, state["columns"].values(), strict=True):
            kind.restore(column)

    def encode(self, cells: Sequence[tuple], limits: Limits) -> list[np.ndarray | BadCell]:  # noqa: ARG002
        """Per cell one float32 vector: numbers, flags, then category numbers."""
        if not cells:
            return []
        found = self._read(cells)
        table = self._table(found)
        nothing = np.all([self._absent(kind, f) for kind, f in zip(self.kinds, found, strict=True)], 0)
        reason = f"no value can be read in any of {', '.join(map(repr, self.names))}"
        return [BadCell(reason) if empty else row for row, empty in zip(table, nothing, strict=True)]

    def _read(self, cells: Sequence[tuple]) -> list[np.ndarray]:
        return [kind.read(values) for kind, values in zip(self.kinds, zip(*cells, strict=True), strict=True)]

    def _table(self, found: Sequence[np.ndarray]) -> np.ndarray:
        """Join what was read of each column: (U, N + C) float32, numbers, flags, category ids."""
        numbers = [table for kind, table in zip(self.kinds, found, strict=True) if kind.width]
        flags = [np.isnan(found[at][:, :1]) for at in self.flagged]
        named = [table for kind, table in zip(self.kinds, found, strict=True) if kind.size]
        return np.nan_to_num(np.concatenate([*numbers, *flags, *named], 1)).astype(np.float32)

    @staticmethod
    def _absent(kind: _Kind, table: np.ndarray) -> np.ndarray:
        return table[:, 0] == MISSING if kind.size else np.isnan(table[:, 0])

    def broken(self, cells: Sequence[tuple]) -> list[tuple[int, str, str]]:
        """Position, column and reason of every value that is there but cannot be read."""
        if not cells:
            return []
        listed = []
        for at, (name, table) in enumerate(zip(self.names, self._read(cells), strict=True)):
            for row in np.flatnonzero(self._absent(self.kinds[at], table)):
                value = cells[int(row)][at]
                if not is_missing(value):
                    listed.append((int(row), name, f"{str(value)[:60]!r} is not {_HINTS[self.modalities[at]]}"))
        return listed

    def unseen(self, cells: Sequence[tuple]) -> list[tuple[int, str, Any]]:
        """Position, column and value of every category that training did not show."""
        listed = []
        for at, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True)):
            if isinstance(kind, _Category) and cells:
                numbers = kind.read([cell[at] for cell in cells])[:, 0]
                listed += [(int(row), name, cells[int(row)][at]) for row in np.flatnonzero(numbers == UNSEEN)]
        return listed

    def blank(self) -> np.ndarray:
        """Average numbers, missing categories."""
        facts = self.facts()
        return np.zeros(facts["numbers"] + len(facts["categories"]), np.float32)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``numbers`` (U, N), ``categories`` (U, C)."""
        table, numbers = np.stack(cells), self.facts()["numbers"]
        return {"numbers": table[:, :numbers], "categories": table[:, numbers:].astype(np.int64)}
