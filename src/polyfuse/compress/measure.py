"""A model and what was made of it, measured on the same rows: how good, how large, how fast, how much memory."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyfuse.compress.findings import Measured, Quality
from polyfuse.compress.footprint import peak_memory, save_batch
from polyfuse.compress.parts import parameters, tensors
from polyfuse.compress.study import Cells
from polyfuse.evaluation.outcome import OutputReport
from polyfuse.model.prepare import rows_of
from polyfuse.records import Batch
from polyfuse.system.device import device_of

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


def measure(
    models: Sequence[tuple[Cells, Path]], rows: np.ndarray, *, memory: bool = True
) -> tuple[list[Measured], list[str]]:
    """Some models on the same rows of one table, timed in turns so that a busy moment meets them all.

    Args:
        models: the cells that each reads, and the folder where it lies.
        rows: row numbers that tell how good they are; the first of them are timed.
        memory: measure that too, for which each is loaded in a process of its own.

    Returns:
        What was found of each, and notes.
    """
    calls = [{count: _call(cells, rows, count) for count in ROWS} for cells, _ in models]
    spent = {count: in_turns([own[count] for own in calls]) for count in ROWS}
    found, notes = [], list[str]()
    for at, (cells, folder) in enumerate(models):
        network, most = cells.bundle.network, None
        if memory:
            try:
                most = _memory(cells, folder, rows)
            except RuntimeError as error:
                notes.append(f"memory is not known: a fresh process could not load the model ({error})")
        own = {count: spent[count][at] for count in ROWS}
        judged, whole = quality(cells.judge(rows)), parameters(network)
        found.append(Measured(judged, size_of(folder), whole, _nonzero(network), own, most))
    return found, list(dict.fromkeys(notes))


def _batch(cells: Cells, rows: np.ndarray, count: int) -> Batch:
    """So many rows, those that are there again where they are too few; nothing encoded before."""
    made = rows_of(cells.prepared, len(cells.table))
    made.outputs = {}
    return made[0, np.resize(rows, count)]


def _call(cells: Cells, rows: np.ndarray, count: int) -> Callable[[], Any]:
    network = cells.bundle.network.eval()
    batch = _batch(cells, rows, count).to(device_of(network))

    def answer() -> None:
        with torch.inference_mode():
            network.predict(batch)
        if device_of(network).type == "cuda":
            torch.cuda.synchronize()

    return answer


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


def _memory(cells: Cells, folder: Path, rows: np.ndarray) -> int:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "rows.safetensors"
        save_batch(_batch(cells, rows, max(ROWS)), path)
        return peak_memory(folder, path)


def _nonzero(network: torch.nn.Module) -> int:
    return sum(int(tensor.count_nonzero()) for tensor in tensors(network))
