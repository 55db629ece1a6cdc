"""Rows of plain Python to the fields that graphs take: each distinct cell read once, what cannot be read is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse import registry
from polyfuse.data.cells.forms import REWRITE
from polyfuse.data.cells.items import split_media
from polyfuse.data.cells.literals import decode_embedded
from polyfuse.data.cells.source import UNREAD, BadCell, Limits, content_digest, is_missing, load_media
from polyfuse.data.cells.transform import Transform
from polyfuse.errors import format_count
from polyfuse.runtime.servant import Record
from polyfuse.trust import check_trust


@dataclass(frozen=True)
class Reading:
    """How cells are read.

    Args:
        limits: what is too large.
        slots: column -> how many media of a cell are read, where cells hold several.
        formats: column -> how it writes its numbers or dates.
        root: folder that paths in cells start from; None reads no path, only content.
    """

    limits: Limits = field(default_factory=Limits)
    slots: Mapping[str, int] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None

    def cell(self, record: Record, column: str) -> Any:
        """A cell in the one form that transforms read; None where it is missing."""
        value = record.get(column)
        if is_missing(value):
            return None
        if isinstance(value, bytearray):
            value = bytes(value)
        return REWRITE[self.formats[column]](value) if isinstance(value, str) and column in self.formats else value


@dataclass
class Said:
    """What is to be said of cells: column -> how many there are of each kind, and the first of them."""

    broken: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    unseen: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Said, first: int) -> None:
        """What is to be said of further rows, the first of which has this number."""
        for kind in ("broken", "unseen"):
            for column, found in getattr(other, kind).items():
                getattr(self, kind).setdefault(column, []).extend((first + row, what) for row, what in found)
        self.notes += other.notes

    def sentences(self) -> list[str]:
        """One per column and kind."""
        broken = [
            f"column {column!r}: {format_count(len(set(found)), *UNREAD)} cannot be read; the first, row "
            f"{found[0][0]}: {found[0][1]}"
            for column, found in self.broken.items()
        ]
        unseen = [
            f"column {column!r}: {format_count(len(set(found)), 'value was', 'values were')} not seen in training and "
            f"are all read alike; the first: {found[0][1]} in row {found[0][0]}"
            for column, found in self.unseen.items()
        ]
        return list(dict.fromkeys([*broken, *unseen, *self.notes]))


@dataclass(frozen=True)
class Reader:
    """What one encoder reads of rows.

    Args:
        key: by which graphs name what it gives, such as ``r0``.
        columns: in order.
        transform: fitted.
    """

    key: str
    columns: tuple[str, ...]
    transform: Transform

    def gathered(self, records: Sequence[Record], reading: Reading, said: Said) -> dict[str, np.ndarray]:
        """The distinct cells of some rows, padded together, and which of them each row uses.

        Returns:
            ``KEY.FIELD`` over the U cells, ``KEY.present`` (U,) and ``KEY.index`` (B, K), -1 where a cell is missing.
        """
        places, values, shape = self._cells(records, reading, said)
        arrays = self._encoded(places, values, reading, said)
        index_BK = np.full(shape, -1, dtype=np.int64)
        kept, seen = list[np.ndarray](), dict[bytes, int]()
        for place, array in zip(places, arrays, strict=True):
            if isinstance(array, BadCell):
                continue
            key = content_digest(array)
            if key not in seen:
                seen[key] = len(kept)
                kept.append(array)
            index_BK[place] = seen[key]
        fields = self.transform.collate(kept or [self.transform.blank()])
        named = {f"{self.key}.{name}": array for name, array in fields.items()}
        present_U = np.ones(len(kept), dtype=bool) if kept else np.zeros(1, dtype=bool)
        return {**named, f"{self.key}.present": present_U, f"{self.key}.index": index_BK}

    def _cells(
        self, records: Sequence[Record], reading: Reading, said: Said
    ) -> tuple[list[tuple[int, int]], list[Any], tuple[int, int]]:
        """Row and slot of every cell that is there, the cells, and (B, K)."""
        rows = [[reading.cell(record, column) for column in self.columns] for record in records]
        if self.transform.joint:
            there = [(b, 0) for b, row in enumerate(rows) if any(value is not None for value in row)]
            return there, [tuple(rows[b]) for b, _ in there], (len(rows), 1)
        if not self.transform.media:
            there = [(b, k) for k in range(len(self.columns)) for b, row in enumerate(rows) if row[k] is not None]
            return there, [rows[b][k] for b, k in there], (len(rows), len(self.columns))
        slots = [(at, n) for at, column in enumerate(self.columns) for n in range(reading.slots.get(column, 1))]
        items = [[[] if value is None else split_media(value) for value in row] for row in rows]
        self._count_left_out(items, reading, said)
        found = {
            (b, k): row[at][n]
            for b, row in enumerate(items)
            for k, (at, n) in enumerate(slots)
            if n < len(row[at]) and not is_missing(row[at][n])
        }
        return list(found), list(found.values()), (len(rows), len(slots))

    def _count_left_out(self, items: list[list[list[Any]]], reading: Reading, said: Said) -> None:
        for at, column in enumerate(self.columns):
            read = reading.slots.get(column, 1)
            full = [len(row[at]) for row in items if len(row[at]) > read]
            if full:
                count = format_count(len(full), "cell holds", "cells hold")
                said.notes.append(
                    f"column {column!r}: {count} more than {read}, up to {max(full)}: the first "
                    f"{read if read > 1 else ''} of them are read".replace("  ", " ")
                )

    def _encoded(
        self, places: list[tuple[int, int]], values: list[Any], reading: Reading, said: Said
    ) -> list[np.ndarray | BadCell]:
        transform: Any = self.transform
        if transform.joint:
            for kind, listed in (("broken", transform.broken(values)), ("unseen", transform.unseen(values))):
                for position, column, what in listed:
                    text = what if kind == "broken" else repr(str(what)[:60])
                    getattr(said, kind).setdefault(column, []).append((places[position][0], text))
            return transform.encode(values, reading.limits)
        contents = [_content(value, reading) if transform.media else value for value in values]
        good = [content for content in contents if not isinstance(content, BadCell)]
        made = iter(transform.encode(good, reading.limits))
        found = [content if isinstance(content, BadCell) else next(made) for content in contents]
        for (b, k), array in zip(places, found, strict=True):
            if isinstance(array, BadCell):
                said.broken.setdefault(self._column(k, reading), []).append((b, str(array)[:300]))
        return found

    def _column(self, slot: int, reading: Reading) -> str:
        """The column of a slot."""
        if not self.transform.media:
            return self.columns[slot]
        return [column for column in self.columns for _ in range(reading.slots.get(column, 1))][slot]


def _content(value: Any, reading: Reading) -> Any:
    """The content of a media cell, or why there is none."""
    path = value.get("path") if isinstance(value, dict) and not _holds(value) else value
    if reading.root is None and isinstance(path, (str, Path)) and decode_embedded(str(path)) is None:
        return BadCell(
            f"{str(path)[:60]!r} is no content of a file, and paths are not read unless media_root names a folder"
        )
    try:
        return load_media(value, reading.root, reading.limits)
    except BadCell as error:
        return error


def _holds(value: Mapping[str, Any]) -> bool:
    return value.get("bytes") is not None or value.get("array") is not None


def read_transform(file: Path) -> Transform:
    """A fitted transform that was written as JSON.

    Raises:
        TrustError: it is code of others, which nobody trusts.
    """
    content = json.loads(file.read_text(encoding="utf8"))
    if registry.is_address(content["transform"]):
        check_trust({f"{file.parent.name}/{file.name}": content["transform"]}, file.parent.parent)
    transform = registry.transform(content["transform"])(**content["keywords"])
    transform.restore(content["state"])
    return transform
