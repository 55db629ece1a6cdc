"""Infer the modality and role of each column, with the reason; ``inspect`` shows them as a table.

The modality comes from ``rules``; this file adds the role, counts missing and broken cells, and picks heads.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from polyfuse import registry
from polyfuse.data import media
from polyfuse.data.cells.dates import parse_date
from polyfuse.data.cells.segments import are_segments
from polyfuse.data.cells.source import Limits, is_missing
from polyfuse.data.cells.target_boxes import listed_boxes
from polyfuse.data.cells.target_events import listed_events
from polyfuse.data.cells.targets import are_multi_hot, as_labels
from polyfuse.data.cells.vectors import as_array
from polyfuse.data.media_lists import max_items, split_media
from polyfuse.data.rules import (
    FEW,
    MOST,
    SENTENCE,
    ColumnSample,
    are_whole,
    as_numbers,
    cell_key,
    distinct_cells,
    infer_modality,
    most_common_kind,
    word_count,
)
from polyfuse.data.tables import ID_NAMES, Table, TableError, did_you_mean, parse_split_name
from polyfuse.data.word_columns import find_words
from polyfuse.errors import format_count

MADE = {"image": "image", "audio": "speech"}  # modality -> the head that makes it
MODALITIES = ("text", "image", "audio", "video", "number", "category", "date", "vector", "sequence")

MEDIA = ("image", "audio", "video")
TABULAR = ("number", "category", "date")
"""What the input ``columns`` gathers."""

MANY = 100
"""Up to this many evenly frequent whole numbers from 0 or 1 on in an output are classes."""

BOXES = 300  # cells of an output that are looked at for boxes

ID_VALUE = re.compile(r"(?=.*\d)[\w\-./:#]+", re.ASCII)
"""One ASCII word with a digit in it."""
ADDRESS = re.compile(r"\s*([a-z][a-z0-9+.-]*://|www\.)\S+\s*", re.IGNORECASE)
"""An address of the internet, or of a store of files."""


@dataclass(frozen=True)
class Column:
    """The modality, role and facts of a column.

    Args:
        modality: one of ``MODALITIES``, or ``unknown``.
        reason: why, in words.
        role: ``input``; or why it is no input unless named: ``identifier``, ``constant``, ``empty``, ``split`` (its
            values are train, val, test), ``address`` (of the internet) or ``unusable``; or ``unsupported``: no encoder
            reads its modality yet.
        missing: rows without a cell.
        broken: rows whose cell is known to be unreadable; large columns are sampled, so there may be more.
        distinct: number of different present cells.
        example: one cell, shortened.
        unreadable: the broken cells: row, what stands in the cell, and why it cannot be read.
        slots: of media, how many the fullest cell holds.
    """

    name: str
    modality: str
    reason: str
    role: str
    missing: int
    broken: int
    distinct: int
    example: str
    unreadable: tuple[tuple[int, str, str], ...] = ()
    slots: int = 1


def infer_columns(
    table: Table, overrides: Mapping[str, str] | None = None, *, limits: Limits = Limits(), sample: int = 200
) -> dict[str, Column]:
    """Infer the modality and role of every column.

    Args:
        overrides: column -> modality, where the rules are not to decide.
        limits: above these a media cell counts as broken.
        sample: how many distinct cells of a column are looked at closely. Files are all looked up.

    Raises:
        TableError: an override names no column, no modality, or one that the cells leave open.
    """
    overrides = overrides or {}
    for name, reason in table.undecided.items():
        if overrides.get(name) in ("number", "date"):
            raise TableError(f"column {name!r}: {reason}")
    for name, modality in overrides.items():
        table.require(name)
        if modality not in MODALITIES:
            hint = did_you_mean(modality, MODALITIES) or "."
            raise TableError(f"column {name!r}: unknown modality {modality!r}{hint} Known: {', '.join(MODALITIES)}")
    found = {name: _infer_column(table, name, overrides.get(name), limits, sample) for name in table.frame}
    lists = {name for name, column in found.items() if column.modality == "text" and "lists of texts" in column.reason}
    for name in lists - set(overrides):
        if labelled := find_words(table.frame, name, lists):
            reason = f"a label per word of column {labelled.words!r}, {labelled.kinds:,} different"
            found[name] = replace(found[name], modality="tags", role="unusable", reason=reason)
    for name in [name for name, column in found.items() if column.modality == "unknown" and name not in overrides]:
        series = table.frame[name]
        if len(present := series[~missing_mask(series)]) and (objects := _explain_objects(present)):
            found[name] = replace(found[name], modality=objects[0], role="unusable", reason=f"{objects[1]}: an output")
    return found


def _infer_column(table: Table, name: str, override: str | None, limits: Limits, sample: int) -> Column:
    series = table.frame[name]
    gone = missing_mask(series)
    if gone.all():
        return Column(name, override or "unknown", "every cell is missing", "empty", len(series), 0, 0, "")
    glance = _sample_column(series[~gone], len(series), table.root, sample)
    undecided = table.undecided.get(name)
    modality, reason = ("unknown", undecided) if undecided else infer_modality(glance)
    if override:
        modality, reason = override, "named so"
    broken, health = _find_broken(glance, modality, limits, sample)
    rows = np.flatnonzero(~gone)
    listed = tuple((int(rows[at]), shorten(glance.present.iat[at], 300), why) for at, why in broken.items())
    role, why = _infer_role(glance, modality)
    if override and role != "unsupported":
        role, why = "input", ""
    reason = "; ".join(part for part in (reason, health, why) if part)
    example = shorten(glance.values[0])
    slots = max_items(glance.cells.values()) if modality in MEDIA else 1
    return Column(
        name, modality, reason, role, int(gone.sum()), len(broken), glance.distinct, example, listed, slots=slots
    )


def missing_mask(series: pd.Series) -> np.ndarray:
    """True for each missing cell, exactly as ``is_missing`` says it, but quick for columns of one kind."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        return missing_mask(series.astype(object))
    if series.dtype == "str":
        return (series.isna() | (series.str.strip() == "")).to_numpy(dtype=bool)
    if series.dtype != object:
        return series.isna().to_numpy(dtype=bool)
    return np.fromiter((is_missing(cell) for cell in series), dtype=bool, count=len(series))


def _sample_column(present: pd.Series, rows: int, root: Path | None, sample: int) -> ColumnSample:
    cells = distinct_cells(present)
    usual, values = most_common_kind(media.sample_evenly(list(cells.values()), sample))
    return ColumnSample(str(present.name), present, rows, usual, values, cells, root)


def shorten(cell: Any, most: int = 48) -> str:
    """A cell in one short line."""
    if isinstance(cell, dict):
        cell = next((cell[part] for part in ("array", "bytes", "path") if cell.get(part) is not None), cell)
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return f"{len(cell):,} bytes"
    if isinstance(cell, np.ndarray) and cell.dtype != object:
        return f"{cell.dtype} {cell.shape}"
    line = " ".join(str(cell).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def inspect_rows(columns: Mapping[str, Column], origin: Callable[[int], str]) -> list[dict[str, Any]]:
    """One JSON-able row per column, for ``polyfuse inspect``; ``broken_cells`` lists row, cell and reason of each.

    Args:
        origin: row number -> what messages call the row.
    """
    order = ("modality", "role", "reason", "missing", "broken", "distinct", "example")
    return [
        {"column": name}
        | {field: getattr(column, field) for field in order}
        | {"broken_cells": [{"row": origin(r), "file": cell, "reason": why} for r, cell, why in column.unreadable]}
        for name, column in columns.items()
    ]


def _infer_role(glance: ColumnSample, modality: str) -> tuple[str, str]:
    """Infer the role of a column that is not named, and why."""
    count = len(glance.present)
    if modality == "unknown":
        return "unusable", ""
    if encoder_modality(modality) not in registry.ENCODERS:
        return "unsupported", f"{modality} is not read yet"
    if glance.distinct == 1 and count == glance.rows > 1:
        return "constant", "the same in every row"
    if len(words := {parse_split_name(cell) for cell in glance.values}) > 1 and None not in words:
        if "train" in words:
            return "split", "the words of a split"
        return "input", "words of a split, but no row is train"
    if modality in ("text", "category") and _are_addresses(glance):
        return "address", "internet addresses, which say little as words"
    if modality in ("text", "category") and glance.distinct >= 0.99 * count and count > 2 and _are_ids(glance):
        return "identifier", "another one in every row, and one word with digits"
    if modality == "number" and glance.distinct == count > 2 and _is_counter(glance):
        return "identifier", "another one in every row"
    return "input", ""


def encoder_modality(modality: str) -> str:
    """The modality under which ``registry.ENCODERS`` lists encoders of a column."""
    return "columns" if modality in TABULAR else modality


def _are_addresses(glance: ColumnSample) -> bool:
    return sum(bool(ADDRESS.fullmatch(str(cell))) for cell in glance.values) >= MOST * len(glance.values)


def _are_ids(glance: ColumnSample) -> bool:
    texts = [str(cell).strip() for cell in glance.values]
    ids = sum(bool(ID_VALUE.fullmatch(text)) for text in texts)
    named = bool(glance.words & ID_NAMES) and not any(" " in text for text in texts)
    return named or ids >= 0.95 * len(texts)


def _is_counter(glance: ColumnSample) -> bool:
    """Whether whole numbers are called ids, or count 0, 1, 2, ... down the rows."""
    values = as_numbers(glance.present)
    return bool(
        (glance.words & ID_NAMES and are_whole(values)) or (values[0] in (0, 1) and (np.diff(values) == 1).all())
    )


# --- broken cells: position among the present ones -> reason, and what there is to say about them ---------------------


Reasons: TypeAlias = dict[int, str]


def _find_broken(glance: ColumnSample, modality: str, limits: Limits, sample: int) -> tuple[Reasons, str]:
    check = BROKEN.get(modality)
    return check(glance, modality, limits, sample) if check else ({}, "")


def _broken_media(glance: ColumnSample, modality: str, limits: Limits, sample: int) -> tuple[Reasons, str]:
    items = {name: split_media(cell) for name, cell in glance.cells.items()}
    each = {(name, n): i for name, some in items.items() for n, i in enumerate(some) if not is_missing(i)}
    health = media.check_media(each, modality, glance.root, limits, sample)
    reasons: dict[Any, str] = {}
    for (name, _), why in health.reasons.items():
        reasons.setdefault(name, why)
    keys = [cell_key(cell) for cell in glance.present] if reasons else []
    rows = {at: reasons[found] for at, found in enumerate(keys) if found in reasons}
    said = [f"{health.found:,} of {health.files:,} files found"] if health.files else []
    said += [f"{health.remote:,} are internet addresses, which are not read: download them first"] * (health.remote > 0)
    said += [f"{health.opened:,} of {len(each):,} opened"] * (0 < health.opened < len(each))
    said += [f"{health.unreadable:,} of those unreadable"] * (health.unreadable > 0)
    said += [health.sizes] if health.sizes else []
    return rows, ", ".join(said)


def _broken_numbers(glance: ColumnSample, *_: Any) -> tuple[Reasons, str]:
    return {int(at): "not a finite number" for at in np.flatnonzero(~np.isfinite(as_numbers(glance.present)))}, ""


def _broken_dates(glance: ColumnSample, *_: Any) -> tuple[Reasons, str]:
    return {at: "not a date" for at, cell in enumerate(glance.present) if parse_date(cell) is None}, ""


def _broken_arrays(glance: ColumnSample, modality: str, *_: Any) -> tuple[Reasons, str]:
    """Rows whose cell is no array, or has another number of features than most."""
    arrays = [as_array(cell, 1 if modality == "vector" else 2) for cell in glance.present]
    widths = Counter(array.shape[-1] for array in arrays if isinstance(array, np.ndarray)).most_common(1)
    reasons = {at: str(array) for at, array in enumerate(arrays) if not isinstance(array, np.ndarray)}
    for at, array in enumerate(arrays):
        if isinstance(array, np.ndarray) and array.shape[-1] != widths[0][0]:
            reasons[at] = f"{array.shape[-1]} features, where most have {widths[0][0]}"
    return dict(sorted(reasons.items())), ""


BROKEN: dict[str, Callable[..., tuple[Reasons, str]]] = {
    "image": _broken_media,
    "audio": _broken_media,
    "video": _broken_media,
    "number": _broken_numbers,
    "date": _broken_dates,
    "vector": _broken_arrays,
    "sequence": _broken_arrays,
}


# --- outputs ----------------------------------------------------------------------------------------------------------


def infer_output(series: pd.Series) -> tuple[str, str]:
    """The head for an output column, and why.

    Raises:
        TableError: no cell, or cells that no head can learn.
    """
    present = series[~missing_mask(series)]
    if present.empty:
        raise TableError(f"output {series.name!r}: every cell is missing")
    if objects := _explain_objects(present):
        return objects
    glance = _sample_column(present, len(series), None, 2_000)
    if labels := _explain_label_sets(glance):
        return "labels", labels
    modality, reason = infer_modality(glance)
    if modality == "number":
        return _number_or_classes(glance)
    if modality in MADE:
        return MADE[modality], reason
    if modality in ("category", "text"):
        repeated = glance.kind != "several" and len(present) >= 2 * glance.distinct
        return ("category", f"{glance.distinct:,} distinct values") if repeated else (modality, reason)
    raise TableError(
        f"output {series.name!r} holds {reason}; an output holds categories, lists of labels, numbers, texts, "
        "pictures, sounds, tags, events, boxes or masks"
    )


def _explain_objects(present: pd.Series) -> tuple[str, str] | None:
    """The head that learns a column of objects, and why; None where that is no list of events, boxes or segments."""
    if all(listed_events(cell) for cell in present.head(200)):
        return "events", "lists of {start, end, label}, in seconds"
    if boxes := _explain_boxes(present):
        return "boxes", boxes
    return ("masks", "segments of pictures") if all(are_segments(cell) for cell in present.head(2_000)) else None


def _explain_boxes(series: pd.Series) -> str:
    """Why the cells are boxes of a picture, or nothing; an empty list is a picture without any."""
    cells = [cell for cell in series if not is_missing(cell)]
    cells = cells[:: -(-len(cells) // BOXES)]
    read = [listed_boxes(cell) for cell in cells]
    found = [boxes for boxes in read if boxes is not None]
    labels = {str(box["label"]) for boxes in found for box in boxes}
    if not labels or len(found) < MOST * len(cells):
        return ""
    return f"boxes of {format_count(len(labels), 'label')}"


def is_prose(series: pd.Series) -> bool:
    """Whether the texts of a column, or most of those in its lists, are sentences."""
    cells = series[~missing_mask(series)].head(2_000)
    texts = [str(text) for cell in cells for text in (as_labels(cell) or [cell])]
    return sum(word_count(text) >= SENTENCE for text in texts) > len(texts) / 2


def _number_or_classes(glance: ColumnSample) -> tuple[str, str]:
    values = as_numbers(glance.present)
    if not are_whole(values):
        return "number", f"numbers, {glance.distinct:,} distinct"
    counts = np.unique(values, return_counts=True)[1]
    # ages crowd in the middle, class codes are counted on from 0 or 1 and about equally frequent
    coded = values.min() in (0, 1) and np.ptp(values) == len(counts) - 1 and counts.min() >= counts.mean() / 3
    if len(values) >= 2 * glance.distinct and (glance.distinct <= FEW or (glance.distinct <= MANY and coded)):
        return "category", f"{glance.distinct} different whole numbers"
    return "number", f"whole numbers, {glance.distinct:,} distinct"


def _explain_label_sets(glance: ColumnSample) -> str:
    """Why the cells are sets of labels, or nothing."""
    sets = _label_sets(glance)
    labels = [label for cell in sets for label in cell]
    known = set(labels)
    # lists can be nothing else that an output learns, so that a list that comes again repeats its labels; a text may
    lists = any(as_labels(cell) is not None for cell in glance.values[:1])
    repeats = len(glance.present) / glance.distinct if lists else 1
    if not known or len(labels) * repeats < 2 * len(known) or len(known) == 1:
        return ""
    if sum(len(str(label).split()) >= SENTENCE for label in known) > len(known) / 2:
        return ""
    return f"sets of {len(known):,} different labels"


def _label_sets(glance: ColumnSample) -> list[list[Any]]:
    """The labels in each cell: lists of texts or whole numbers, flags per label, or texts with bars or semicolons.

    A list may be written as text, as a CSV file holds it.
    """
    sets = [labels for cell in glance.values if (labels := as_labels(cell)) is not None]
    if glance.kind == "several" or (sets and len(sets) >= MOST * len(glance.values)):
        return _labels_in_lists(sets)
    texts = [cell for cell in glance.values if isinstance(cell, str)]
    mark = next((mark for mark in "|;" if sum(mark in text for text in texts) >= 0.1 * len(glance.values)), None)
    return [[part.strip() for part in text.split(mark)] for text in texts] if mark else []


def _labels_in_lists(sets: list[list[Any]]) -> list[list[Any]]:
    if sets and are_multi_hot(sets):
        return [[place for place, flag in enumerate(cell) if flag] for cell in sets]
    named = all(isinstance(label, str) for cell in sets for label in cell)
    # equally long lists of other numbers are features
    codes = len({len(cell) for cell in sets}) > 1 and all(isinstance(label, int) for cell in sets for label in cell)
    return sets if named or codes else []
