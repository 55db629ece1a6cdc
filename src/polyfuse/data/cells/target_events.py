"""Target transform of events: what happens from when to when in a recording, each with a label.

A cell is a list of objects ``{start, end, label}`` in seconds, or that as text; an empty list is a recording in which
nothing happens.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyfuse.data.cells.literals import parse_list
from polyfuse.data.cells.source import BadCell, Limits, UnseenLabel, is_missing
from polyfuse.data.cells.targets import to_json_label
from polyfuse.data.cells.transform import pad

SLACK = 1e-6  # seconds that two events of a label may share: a rounding
DIGITS = 3  # of a second, in what is written back


def listed_events(cell: Any) -> list[Mapping[str, Any]] | None:
    """The events ``{start, end, label}`` of a cell: a list of objects, or one written as text; else None."""
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    cell = parse_list(cell) if isinstance(cell, str) else cell
    if not isinstance(cell, (list, tuple)) or not all(isinstance(event, Mapping) for event in cell):
        return None
    return list(cell) if all({"start", "end", "label"} <= event.keys() for event in cell) else None


class Events:
    """Events of a recording (``target.events``).

    Fields ``target`` (U, E, 3) float32, start and end in seconds and the label's number, and ``lengths`` (U,).
    """

    media = False
    joint = False
    empty = True  # an empty list is a cell

    def __init__(self) -> None:
        self.column = ""
        self.classes: list[Any] = []
        self.shortest, self.busy = 0.1, 1.0
        self.notes: list[str] = []

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn the labels, and how short events are.

        Raises:
            ValueError: no training row has an event.
        """
        self.column = next(iter(columns))
        read = [_checked(cell) for cell in cells]
        found = [event for events in read if isinstance(events, list) for event in events]
        if not found:
            why = next((f"; the first cell: {made}" for made in read if isinstance(made, BadCell)), "")
            raise ValueError(f"output {self.column!r}: no training row has an event{why}")
        counts = Counter(label for _, _, label in found)
        self.classes = sorted(counts, key=lambda label: (isinstance(label, str), label))
        self.shortest = round(float(np.quantile([end - start for start, end, _ in found], 0.05)), 4)
        self.busy = round(sum(end - start for start, end, _ in found) / len(read), 4)
        kinds = f"{len(self.classes):,} {'labels' if len(self.classes) > 1 else 'label'}"
        self.notes = [f"output {self.column!r}: {len(found):,} events of {kinds} in training"]

    def facts(self) -> dict[str, Any]:
        """``classes``; ``shortest``: seconds that one event in twenty is shorter than; ``busy``: of events, per row."""
        return {"classes": self.classes, "shortest": self.shortest, "busy": self.busy}

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {**self.facts(), "column": self.column}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.classes, self.column = list(state["classes"]), state["column"]
        self.shortest, self.busy = state["shortest"], state["busy"]

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:  # noqa: ARG002
        """Per cell float32 (E, 3), in order of time, or what is wrong with it."""
        return [self._encode(cell) for cell in cells]

    def _encode(self, cell: Any) -> np.ndarray | BadCell:
        events = _checked(cell)
        if isinstance(events, BadCell):
            return events
        for _, _, label in events:
            if label not in self.classes:
                known = ", ".join(map(repr, self.classes[:10])) + (" and others" if len(self.classes) > 10 else "")
                return UnseenLabel(f"label {label!r} was not seen in training; known: {known}")
        rows = [(start, end, self.classes.index(label)) for start, end, label in events]
        return np.array(rows, np.float32).reshape(-1, 3)

    def decode(self, cells: Sequence[np.ndarray]) -> list[list[dict[str, Any]]]:
        """Arrays back to events."""
        return [[written(start, end, self.classes[int(n)]) for start, end, n in cell.tolist()] for cell in cells]

    def blank(self) -> np.ndarray:
        """Stands for no target."""
        return np.zeros((0, 3), np.float32)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``target`` (U, E, 3), ``lengths`` (U,)."""
        target, lengths = pad(cells)
        return {"target": target, "lengths": lengths}


def written(start: float, end: float, label: Any) -> dict[str, Any]:
    """An event as cells have it."""
    return {"start": round(float(start), DIGITS), "end": round(float(end), DIGITS), "label": label}


def _checked(cell: Any) -> list[tuple[float, float, Any]] | BadCell:
    """Start, end and label of each event in order of time, or what is wrong with the cell."""
    events = listed_events(cell)
    if events is None:
        return BadCell(f"expected events [{{start, end, label}}] in seconds, found {str(cell)[:60]!r}")
    found: list[tuple[float, float, Any]] = []
    for event in events:
        times = [_seconds(event[side]) for side in ("start", "end")]
        if None in times or is_missing(event["label"]):
            return BadCell(f"event {dict(event)}: expected seconds for start and end, and a label")
        start, end = (float(time) for time in times if time is not None)
        if start < 0:
            return BadCell(f"event at {start:g} to {end:g} s begins before the recording")
        if end <= start:
            return BadCell(f"event at {start:g} to {end:g} s ends before it begins, or lasts no time")
        found.append((start, end, to_json_label(event["label"])))
    found.sort(key=lambda event: event[:2])
    ends: dict[Any, float] = {}
    for start, end, label in found:
        if start < ends.get(label, 0.0) - SLACK:
            return BadCell(f"event {label!r} at {start:g} to {end:g} s overlaps another of its label")
        ends[label] = end
    return found


def _seconds(value: Any) -> float | None:
    """A finite number, also one written as text."""
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
    return seconds if math.isfinite(seconds) else None
