"""Events of a recording on a line of time, as bars that a page draws: what is true, and what was found."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLOURS = 8
MOST = 200  # bars of a side


@dataclass(frozen=True)
class Bar:
    """An event on a line of time.

    Args:
        label: of it.
        start, end: in seconds.
        left, width: in percent of the line.
        row: of the label among all labels of the line, from 0.
    """

    label: str
    start: float
    end: float
    left: float
    width: float
    row: int

    @property
    def colour(self) -> int:
        """The number of the label's colour, the same on every page."""
        return zlib.crc32(self.label.encode("utf8", "surrogatepass")) % COLOURS


@dataclass(frozen=True)
class Timeline:
    """A line of time for each of two sides; ``true`` is None where it is not known.

    Args:
        seconds: that the line is long.
        labels: one row each.
    """

    seconds: float
    labels: list[str]
    true: list[Bar] | None
    predicted: list[Bar]

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Percent of the line and seconds of some places on it."""
        return [(25.0 * n, f"{self.seconds * n / 4:.3g} s") for n in range(5)]


def draw_events(true: Any, predicted: Any, seconds: float | None = None) -> Timeline:
    """Events of both sides on one line.

    Args:
        true, predicted: lists of ``{start, end, label}``; None where not known.
        seconds: of the recording, where they are known; the last event ends the line elsewhere.
    """
    sides = [list(side or []) for side in (true, predicted)]
    last = max((float(event["end"]) for side in sides for event in side), default=0.0)
    whole = max(last, seconds or 0.0) or 1.0
    labels = sorted({str(event["label"]) for side in sides for event in side})
    bars = [[_bar(event, whole, labels) for event in side[:MOST]] for side in sides]
    return Timeline(whole, labels, None if true is None else bars[0], bars[1])


def _bar(event: Mapping[str, Any], whole: float, labels: Sequence[str]) -> Bar:
    start, end, label = float(event["start"]), float(event["end"]), str(event["label"])
    width = round(100 * (end - start) / whole, 2)
    return Bar(label, start, end, round(100 * start / whole, 2), max(0.4, width), labels.index(label))
