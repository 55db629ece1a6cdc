"""Fit transforms on training rows and encode the cells of columns as arrays, every distinct cell once.

What cannot be read counts as missing and is listed with its row and file; more than a stated share of that stops
the run, since a wrong ``media_root`` must not train a model on nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from polyfuse import registry
from polyfuse.data.cells.literals import decode_embedded
from polyfuse.data.cells.picture import measure
from polyfuse.data.cells.segments import are_segments, draw_segments
from polyfuse.data.cells.source import (
    BadCell,
    Limits,
    NothingHere,
    UnseenLabel,
    content_digest,
    is_missing,
    load_media,
    repair_surrogates,
)
from polyfuse.data.cells.transform import Transform
from polyfuse.data.media_lists import split_media
from polyfuse.data.store import FallbackStore, cache_root, evict, fingerprint
from polyfuse.errors import format_count
from polyfuse.records import Spec
from polyfuse.system.messages import progress

FIT_SAMPLE = 400  # media cells that a transform sees when it is fitted
CHUNK = 256  # media cells in memory at once
MEDIA = "decoded media"  # what the stores of this file hold
FEW = 10  # so many unreadable cells never stop a run: a table of two rows to predict may hold a bad one


@dataclass(frozen=True)
class BrokenCell:
    """A cell that could not be read; ``unseen`` marks a target that training never saw."""

    row: int
    column: str
    file: str
    reason: str
    unseen: bool = False


@dataclass(frozen=True)
class Reading:
    """Options for reading cells.

    Args:
        root: folder that relative paths start from.
        limits: what is too large.
        max_broken: more than this share of a column's present cells unreadable is an error.
        cache: folder of the stores of decoded media; None keeps them in memory.
        cache_bytes: size of all stores together, above which the oldest are removed.
        origin: row number -> what messages call the row.
        slots: column -> how many media of a cell are read, where cells hold several.
    """

    root: Path | None = None
    limits: Limits = field(default_factory=Limits)
    max_broken: float = 0.2
    cache: Path | None = field(default_factory=cache_root)
    cache_bytes: int = 20_000_000_000
    origin: Callable[[int], str] = "row {}".format
    slots: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Prepared:
    """The encoded cells of one input or output over a whole table.

    Args:
        transform: fitted; it knows how to pad a few cells into fields.
        cells: the distinct arrays.
        index_RK: row and slot -> position in ``cells``, or -1 where missing.
        digests: content digest of each distinct cell.
        broken: what could not be read.
        unseen: row, column and value of each category that training did not show.
        notes: what was left out, and how cells are kept, one sentence each.
        assemble: from collated fields to ready tokens, where cells are tokens that an encoder made earlier.
    """

    transform: Transform
    cells: Sequence[np.ndarray]
    index_RK: np.ndarray
    digests: list[bytes]
    broken: list[BrokenCell] = field(default_factory=list)
    unseen: list[tuple[int, str, Any]] = field(default_factory=list)
    assemble: Callable[[Any], Any] | None = None
    notes: list[str] = field(default_factory=list)


def fit_transform(
    spec: Spec, frame: pd.DataFrame, columns: Mapping[str, str], rows: np.ndarray, reading: Reading
) -> Transform:
    """Build the transform that ``spec`` names and fit it on training rows.

    Args:
        columns: name -> modality of the columns it reads.
        rows: training rows.

    Raises:
        ValueError: no training row has a cell in these columns, or the transform refuses what it sees.
    """
    transform = registry.transform(spec.transform)(**spec.keywords)
    training = frame[list(columns)].iloc[rows]
    cells = _training_cells(transform, training, reading)
    if not cells:
        names = ", ".join(repr(c) for c in columns)
        why = _first_failure(training, reading) if transform.media else "; leave it out"
        raise ValueError(f"column {names}: every training cell is missing or broken{why}")
    transform.fit(cells, columns, reading.limits)
    return transform


def _training_cells(transform: Transform, frame: pd.DataFrame, reading: Reading) -> list[Any]:
    if sides := getattr(transform, "sides", ()):
        needed = tuple("value" if side == "size" else side for side in sides)  # nothing is learnt of sizes
        rows = _read_sides(frame, list(frame), needed, reading)
        return [(row[0], *(None for _ in row[1:])) for row in rows if row[0] is not None]
    if transform.joint:
        return [row for row in zip(*(frame[c] for c in frame), strict=True) if not all(map(is_missing, row))]
    missing = _missing(transform)
    values = [value for column in frame for value in frame[column] if not missing(value)]
    if not transform.media:
        return values
    values = [item for value in values for item in split_media(value) if not is_missing(item)]
    picked = np.random.default_rng(0).permutation(len(values))[:FIT_SAMPLE]
    return [content for at in picked if not isinstance(content := _try_load(values[at], reading), BadCell)]


def _first_failure(frame: pd.DataFrame, reading: Reading) -> str:
    """Why the first present cell cannot be read, for a message."""
    values = (value for column in frame for value in frame[column] if not is_missing(value))
    content = next((_try_load(split_media(value)[0], reading) for value in values), None)
    if not isinstance(content, BadCell):
        return "; leave it out"
    return f" ({content}); give the folder that paths start from (media_root), or leave the column out"


def _try_load(value: Any, reading: Reading) -> Any:
    try:
        return load_media(value, reading.root, reading.limits)
    except BadCell as error:
        return error


def prepare(transform: Transform, frame: pd.DataFrame, columns: Mapping[str, str], reading: Reading) -> Prepared:
    """Read every distinct cell of some columns with a fitted transform.

    Raises:
        ValueError: more than ``reading.max_broken`` of a column's cells cannot be read.
    """
    if transform.joint:
        made = _prepare_joint(transform, frame, list(columns), reading)
    elif transform.media:
        made = _prepare_media(transform, frame, list(columns), reading)
    else:
        made = _prepare_values(transform, frame, list(columns), reading)
    refuse_too_broken(made, frame, list(columns), reading)
    return made


def refuse_too_broken(made: Prepared, frame: pd.DataFrame, columns: list[str], reading: Reading) -> None:
    """Stop where too many cells of a column cannot be read.

    Raises:
        ValueError: more than ``reading.max_broken`` of them.
    """
    for column in columns:
        broken = [b for b in made.broken if b.column == column and not b.unseen]
        cells = [value for value in frame[column] if not is_missing(value)] if broken else []
        present = sum(len(split_media(cell)) for cell in cells) if made.transform.media else len(cells)
        if len(broken) > max(FEW, reading.max_broken * present):
            shown = "\n".join(f"  {reading.origin(b.row)}: {b.reason}" for b in broken[:5])
            check = "Check the paths (media_root)" if made.transform.media else "Check the cells and their type"
            raise ValueError(
                f"column {column!r}: {len(broken)} of {format_count(present, 'cell')} cannot be read, more than the "
                f"allowed share of {reading.max_broken:.0%}:\n{shown}\n{check}, or let them count as missing: "
                "max_broken=1 where a model judges or predicts (--max-broken 1), data.max_broken=1 among the settings "
                "of fit."
            )


def _prepare_joint(transform: Transform, frame: pd.DataFrame, columns: list[str], reading: Reading) -> Prepared:
    if sides := getattr(transform, "sides", ()):
        return _prepare_sides(transform, frame, columns, reading, sides)
    rows = list(zip(*(frame[c] for c in columns), strict=True))
    real = [at for at, row in enumerate(rows) if not all(map(is_missing, row))]
    cells = [rows[at] for at in real]
    made = _deduplicate(
        transform, transform.encode(cells, Limits()), [(at, 0) for at in real], (len(rows), 1), frame, columns
    )
    unread = transform.broken(cells)  # type: ignore[attr-defined]
    # rows without any value that can be read are among them, column by column
    made.broken = [
        BrokenCell(real[position], column, "", repair_surrogates(str(reason)), isinstance(reason, UnseenLabel))
        for position, column, reason in unread
    ]
    listed = transform.unseen(cells)  # type: ignore[attr-defined]
    made.unseen = [(real[position], column, value) for position, column, value in listed]
    return made


def _prepare_sides(
    transform: Transform, frame: pd.DataFrame, columns: list[str], reading: Reading, sides: Sequence[str]
) -> Prepared:
    """Cells of columns of which a transform is given something else than the value, such as the size of a picture."""
    arrays: list[np.ndarray | BadCell] = []
    for start in range(0, len(frame), CHUNK):
        cells = list(_read_sides(frame.iloc[start : start + CHUNK], columns, sides, reading))
        arrays += transform.encode(cells, reading.limits)
    made = _deduplicate(transform, arrays, [(row, 0) for row in range(len(frame))], (len(frame), 1), frame, columns)
    first = frame[columns[0]]
    told = [b for b in made.broken if sides[0] != "size" and (b.file or not _is_absent(first.iat[b.row]))]
    made.broken = [replace(b, file=b.file or _file_beside(frame, columns, b.row)) for b in told]
    return made


def _is_absent(value: Any) -> bool:
    """Whether nothing stands in a cell; an empty list says something."""
    return is_missing(value) and not (isinstance(value, (list, tuple, np.ndarray)) and len(value) == 0)


def _file_beside(frame: pd.DataFrame, columns: list[str], row: int) -> str:
    """The file that a further column names in a row; empty for none."""
    files = (frame[column].iat[row] for column in columns[1:])
    return next((file[:300] for file in files if isinstance(file, str) and decode_embedded(file) is None), "")


def _read_sides(
    frame: pd.DataFrame, columns: Sequence[str], sides: Sequence[str], reading: Reading
) -> Iterator[tuple[Any, ...]]:
    """Row by row what ``sides`` names of every column."""
    sizes: dict[str, Any] = {}
    for values in zip(*(frame[column] for column in columns), strict=True):
        yield tuple(_side(side, value, reading, sizes) for side, value in zip(sides, values, strict=True))


def _side(side: str, value: Any, reading: Reading, sizes: dict[str, Any]) -> Any:
    if side == "value":
        return None if _is_absent(value) else value
    if side == "media" and are_segments(value):
        try:
            return draw_segments(value, reading.limits)
        except BadCell as error:
            return BadCell(str(error))
    value = None if is_missing(value) else split_media(value)[0]
    if is_missing(value):
        return None
    if side == "media":
        return _try_load(value, reading)
    name = value if isinstance(value, str) else None
    if name not in sizes:
        content = _try_load(value, reading)
        try:
            found = content if isinstance(content, BadCell) else measure(content, reading.limits)
        except BadCell as error:
            found = BadCell(str(error))
        if name is None:
            return found
        sizes[name] = found
    return sizes[name]


def _prepare_values(transform: Transform, frame: pd.DataFrame, columns: list[str], reading: Reading) -> Prepared:
    missing = _missing(transform)
    places = [(r, k) for k, c in enumerate(columns) for r, value in enumerate(frame[c]) if not missing(value)]
    values = (
        [frame[columns[k]].iat[r] for r, k in places]
        if len(columns) > 1
        else _present_cells(frame[columns[0]], missing)
    )
    arrays = transform.encode(values, reading.limits)
    return _deduplicate(transform, arrays, places, (len(frame), len(columns)), frame, columns)


def _present_cells(series: pd.Series, missing: Callable[[Any], bool]) -> list[Any]:
    return [value for value in series if not missing(value)]


def _missing(transform: Transform) -> Callable[[Any], bool]:
    """What counts as no cell; to some transforms an empty list says that there is nothing, and is one."""
    return _is_absent if getattr(transform, "empty", False) else is_missing


def _deduplicate(
    transform: Transform,
    arrays: Sequence[np.ndarray | BadCell],
    places: Sequence[tuple[int, int]],
    shape: tuple[int, int],
    frame: pd.DataFrame,
    columns: list[str],
) -> Prepared:
    """Keep one of each array, by content, and point the rows at it."""
    index = np.full(shape, -1, dtype=np.int64)
    seen: dict[bytes, int] = {}
    cells: list[np.ndarray] = []
    broken: list[BrokenCell] = []
    for (row, slot), array in zip(places, arrays, strict=True):
        if isinstance(array, BadCell):
            broken.append(_make_broken_cell(row, columns[slot], frame[columns[slot]].iat[row], array))
            continue
        key = content_digest(array)
        if key not in seen:
            seen[key] = len(cells)
            cells.append(array)
        index[row, slot] = seen[key]
    return Prepared(transform, cells, index, list(seen), broken)


def _make_broken_cell(row: int, column: str, value: Any, error: BadCell) -> BrokenCell:
    file = value if isinstance(value, str) else value.get("path") or "" if isinstance(value, dict) else ""
    file = str(file)
    file = f"{file[:30]}…" if decode_embedded(file) is not None else file[:300]
    return BrokenCell(
        row, column, repair_surrogates(file), repair_surrogates(str(error)), isinstance(error, UnseenLabel)
    )


def _prepare_media(transform: Transform, frame: pd.DataFrame, columns: list[str], reading: Reading) -> Prepared:
    kept = _open_store(transform, reading)
    slots = [(column, n) for column in columns for n in range(reading.slots.get(column, 1))]
    items = {column: [split_media(value) for value in frame[column]] for column in columns}
    index = np.full((len(frame), len(slots)), -1, dtype=np.int64)
    seen: dict[bytes, int] = {}
    by_path: dict[str, bytes | BadCell] = {}
    broken: list[BrokenCell] = []
    silent = Counter[str]()
    there = [(r, k) for k, (c, n) in enumerate(slots) for r in range(len(frame)) if n < len(items[c][r])]
    for places in progress(_chunks(there), f"reading {', '.join(columns)}", -(-len(there) // CHUNK)):
        values = {(r, k): items[slots[k][0]][r][slots[k][1]] for r, k in places}
        values = {place: value for place, value in values.items() if not is_missing(value)}
        keys = _read_chunk(transform, list(values.values()), by_path, kept, reading)
        for (row, slot), key in zip(values, keys, strict=True):
            if isinstance(key, NothingHere):
                silent[slots[slot][0]] += 1
            elif isinstance(key, BadCell):
                broken.append(_make_broken_cell(row, slots[slot][0], values[row, slot], key))
            else:
                index[row, slot] = seen.setdefault(key, len(seen))
    notes = [note for column in columns if (note := _note_extra_media(column, items[column], reading))]
    notes += [
        f"column {column!r}: {count:,} of {len(frame):,} videos have no sound (no track, or digital silence), "
        "which counts as missing"
        for column, count in silent.items()
    ]
    return Prepared(transform, kept.view(list(seen)), index, list(seen), broken, notes=[*kept.notes, *notes])


def _note_extra_media(column: str, items: list[list[Any]], reading: Reading) -> str:
    """Make a note on cells with more media than are read."""
    read = reading.slots.get(column, 1)
    full = [len(some) for some in items if len(some) > read]
    if not full:
        return ""
    first = f"the first {read}" if read > 1 else "the first"
    more = f"{format_count(len(full), 'cell holds', 'cells hold')} more than {read}, up to {max(full)}"
    return f"column {column!r}: {more}: {first} of them are read (fit with data.slots.{column}={max(full)} for more)"


def _chunks(places: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    for at in range(0, len(places), CHUNK):
        yield places[at : at + CHUNK]


def _read_chunk(
    transform: Transform,
    values: list[Any],
    by_path: dict[str, bytes | BadCell],
    kept: FallbackStore,
    reading: Reading,
) -> list[bytes | BadCell]:
    """The key of each value, after whatever was new among them is decoded and stored."""
    paths = [value if isinstance(value, str) else None for value in values]
    fresh = [at for at, path in enumerate(paths) if path is None or path not in by_path]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders release the interpreter lock; processes cost more
        contents = list(pool.map(lambda at: _try_load(values[at], reading), fresh))
        keys = list(pool.map(lambda c: c if isinstance(c, BadCell) else content_digest(c), contents))
        good = {key: content for key, content in zip(keys, contents, strict=True) if isinstance(key, bytes)}
        known = kept.known(list(good))
        new = [key for key in good if key not in known]
        arrays = list(pool.map(lambda key: transform.encode([good[key]], reading.limits)[0], new))
    failed = {key: array for key, array in zip(new, arrays, strict=True) if isinstance(array, BadCell)}
    kept.put([(key, a) for key, a in zip(new, arrays, strict=True) if not isinstance(a, BadCell)])
    results: dict[int, bytes | BadCell] = {}
    for at, key in zip(fresh, keys, strict=True):
        results[at] = key if isinstance(key, BadCell) else failed.get(key, key)
        path = paths[at]
        if path is not None:
            by_path[path] = results[at]
    return [results[at] if at in results else by_path[paths[at]] for at in range(len(values))]  # type: ignore[index]


def _open_store(transform: Transform, reading: Reading) -> FallbackStore:
    if reading.cache is None:
        return FallbackStore(None, MEDIA)
    name = fingerprint(type(transform).__qualname__, transform.state(), asdict(reading.limits))
    store = FallbackStore(reading.cache / "cells" / name, MEDIA)
    if store.writable:
        evict(reading.cache / "cells", reading.cache_bytes, keep=store.folder)
    return store
