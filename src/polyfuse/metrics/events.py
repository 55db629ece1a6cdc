"""Events in recordings, counted as sed_eval counts them: by segments of a second, and by their onsets within 0.2 s.

Mesaros, Heittola and Virtanen, Metrics for polyphonic sound event detection, Applied Sciences 2016.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from polyfuse.metrics.tags import SpanCounts, count_spans

SEGMENT = 1.0  # seconds
COLLAR = 0.2  # seconds that an onset may be off
Event = Mapping[str, Any]


def count_segments(true: Sequence[Iterable[Event]], said: Sequence[Iterable[Event]]) -> SpanCounts:
    """Segments of a second in which each label is right, said and true, of every recording."""
    return count_spans([_segments(one) for one in true], [_segments(one) for one in said])


def _segments(events: Iterable[Event]) -> set[tuple[int, int, str]]:
    """Every segment that an event touches."""
    return {
        (n, n + 1, str(event["label"]))
        for event in events
        for n in range(math.floor(event["start"] / SEGMENT), math.ceil(event["end"] / SEGMENT))
    }


def count_onsets(true: Sequence[Iterable[Event]], said: Sequence[Iterable[Event]]) -> SpanCounts:
    """Events of each label whose onset was found, that were said, and that are true, of every recording.

    Each true event answers for one that was said at most, so that as many as possible are right.
    """
    pairs = [(_onsets(t), _onsets(s)) for t, s in zip(true, said, strict=True)]
    labels = sorted({label for sides in pairs for side in sides for label in side})
    counts = np.zeros((3, len(pairs), len(labels)))
    for row, (t, s) in enumerate(pairs):
        for place, label in enumerate(labels):
            one, other = t.get(label, []), s.get(label, [])
            counts[:, row, place] = _matched(one, other), len(other), len(one)
    return SpanCounts(labels, *counts)


def _onsets(events: Iterable[Event]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for event in events:
        found.setdefault(str(event["label"]), []).append(float(event["start"]))
    return {label: sorted(times) for label, times in found.items()}


def _matched(one: Sequence[float], other: Sequence[float]) -> int:
    """The most pairs of times, both ascending, that lie within the collar: the earliest that fits is best."""
    right = at = 0
    for time in one:
        while at < len(other) and other[at] < time - COLLAR and abs(time - other[at]) > COLLAR:
            at += 1
        if at < len(other) and abs(time - other[at]) <= COLLAR:
            right, at = right + 1, at + 1
    return right
