"""A model and what was made of it, measured on the same rows: how good, how large, how fast, how much memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from polyfuse.compress.findings import Measured, Quality
from polyfuse.evaluation.outcome import OutputReport

ROWS = (1, 16)  # answered at once
TURNS, SECONDS = 31, 1.5  # of timing for each number of rows: so many turns at most, and about so long
BESIDE = ("report.json", "card.md", "manifest.json")  # of a saved model, which it answers without


def size_of(folder: Path) -> int:
    """Bytes of what a model answers with on disk."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and f.name not in BESIDE)


def quality(found: Mapping[str, OutputReport]) -> dict[str, Quality]:
    """The headline metric of every output."""
    return {
        name: Quality(one.headline[0], one.metrics[one.headline[0]], one.intervals.get(one.headline[0]))
        for name, one in found.items()
    }


class Measurable(Protocol):
    """A model over the rows of a table, in whatever form it is kept."""

    def judge(self, rows: np.ndarray, *, bootstrap: int = 1000) -> dict[str, OutputReport]:
        """Output -> how good it is on some rows."""

    def answering(self, rows: np.ndarray) -> Callable[[], Any]:
        """A call that answers some rows, whose cells are ready."""

    def numbers(self) -> tuple[int, int]:
        """How many numbers it holds, and how many of them are not 0."""

    def peak(self, folder: Path, rows: np.ndarray) -> int:
        """Bytes that a process of its own holds at most which answers some rows.

        Raises:
            RuntimeError: that process failed.
        """


def measure(
    models: Sequence[tuple[Measurable, Path]], rows: np.ndarray, *, memory: bool = True
) -> tuple[list[Measured], list[str]]:
    """Some models on the same rows of one table, timed in turns so that a busy moment meets them all.

    Args:
        models: each with the folder where it lies.
        rows: row numbers that tell how good they are; the first of them are timed, again where they are too few.
        memory: measure that too, for which each is loaded in a process of its own.

    Returns:
        What was found of each, and notes.
    """
    calls = [{count: model.answering(np.resize(rows, count)) for count in ROWS} for model, _ in models]
    spent = {count: in_turns([own[count] for own in calls]) for count in ROWS}
    found, notes = [], list[str]()
    for at, (model, folder) in enumerate(models):
        most = None
        if memory:
            try:
                most = model.peak(folder, np.resize(rows, max(ROWS)))
            except RuntimeError as error:
                notes.append(f"memory is not known: a fresh process could not load the model ({error})")
        own = {count: spent[count][at] for count in ROWS}
        found.append(Measured(quality(model.judge(rows)), size_of(folder), *model.numbers(), own, most))
    return found, list(dict.fromkeys(notes))


def in_turns(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """Milliseconds that each call takes, the median over turns in which every call comes once."""
    for call in calls:
        call()  # what comes once: code and memory are fetched
    taken: list[list[float]] = [[] for _ in calls]
    begun = time.perf_counter()
    for _ in range(TURNS):
        for call, own in zip(calls, taken, strict=True):
            started = time.perf_counter()
            call()
            own.append(1000 * (time.perf_counter() - started))
        if time.perf_counter() - begun > SECONDS * len(calls) and len(taken[0]) > 4:
            break
    return [round(statistics.median(own), 4) for own in taken]
