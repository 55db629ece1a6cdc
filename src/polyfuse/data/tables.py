"""Read any source that ``fit``, ``evaluate`` and ``predict`` take into one ``Table``.

A table is a pandas frame with clean column names and plain cells, plus what the frame cannot say: the folder that
relative media paths start from, which file and row each row came from, and notes on everything that was guessed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from polyfuse.data.coerce import coerce_column, parse_text_column
from polyfuse.data.formats import normalize_formats
from polyfuse.data.media import modality_from_ending
from polyfuse.data.query import query_mask
from polyfuse.data.sources import SourcePart, parse_split_name, read_parts
from polyfuse.errors import TableError

ID_NAMES = frozenset(
    ("id", "ids", "uuid", "guid", "key", "index", "idx", "nr", "no", "filename", "hash", "编号", "序号")
)
"""Words in the names of columns that name rows."""

__all__ = ["Table", "TableError", "did_you_mean", "parse_split_name", "read_table"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the known name that is near, else nothing."""
    lowered = {other.lower(): other for other in known}
    near = difflib.get_close_matches(str(name).lower(), lowered, n=1)
    return f"; did you mean {lowered[near[0]]!r}?" if near else ""


@dataclass
class Table:
    """Rows and columns, and where they came from.

    Args:
        frame: the cells; unique text column names, rows numbered from 0.
        root: folder that relative paths in media cells start from; None means the working directory.
        name: what messages call the table.
        notes: what was guessed or changed while reading, one sentence each.
        split: name of the column that says train, val or test, where files or dict keys named the splits.
        parts: (name, rows) of each file the table was read from, before any row was dropped.
        rows_N: for each row its position in those parts, counted through.
        formats: column -> how its numbers or dates are written, see ``formats``; they are in one form here.
        undecided: column -> why its numbers or dates can be read in two ways.
        alike: columns that tell each other; where one is learnt, none of the others is an input.
    """

    frame: pd.DataFrame
    root: Path | None = None
    name: str = "the table"
    notes: list[str] = field(default_factory=list)
    split: str | None = None
    parts: tuple[tuple[str, int], ...] = ()
    rows_N: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    formats: dict[str, str] = field(default_factory=dict)
    undecided: dict[str, str] = field(default_factory=dict)
    alike: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.parts:
            self.parts = ((self.name, len(self.frame)),)
            self.rows_N = np.arange(len(self.frame))

    def __len__(self) -> int:
        return len(self.frame)

    def require(self, column: str) -> pd.Series:
        """The column of that name.

        Raises:
            TableError: no such column; the message suggests the nearest.
        """
        if column in self.frame:
            return self.frame[column]
        hint = did_you_mean(column, self.frame.columns) or "."
        raise TableError(f"{self.name} has no column {column!r}{hint} It has: {', '.join(self.frame.columns)}")

    def select(self, rows: np.ndarray) -> Table:
        """The rows at these positions, in this order, or those where a mask is True."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        frame = self.frame.iloc[rows].reset_index(drop=True)
        return replace(self, frame=frame, rows_N=self.rows_N[rows], notes=list(self.notes))

    def where(self, expression: str) -> Table:
        """The rows that a pandas query keeps, such as ``split == 'test'``.

        Raises:
            TableError: the expression cannot be used, or keeps no row.
        """
        try:
            table = self.select(query_mask(self.frame, expression))
        except ValueError as error:
            columns = ", ".join(self.frame.columns)
            raise TableError(f"where {expression!r}: {error}. Columns of {self.name}: {columns}") from None
        if not len(table):
            raise TableError(f"where {expression!r} keeps none of the {len(self):,} rows of {self.name}")
        table.notes.append(f"where {expression!r} keeps {len(table):,} of {len(self):,} rows")
        return table

    @cached_property
    def identifier(self) -> str | None:
        """The column that names the rows: called an id, with a cell in every row, and no cell twice."""
        for name in self.frame:
            words = re.findall(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])", name)
            if ID_NAMES.isdisjoint(word.lower() for word in words):
                continue
            if self.frame[name].map(_is_identifier).all() and self.frame[name].is_unique:
                return str(name)
        return None

    def exploded(self, columns: Sequence[str]) -> Table:
        """A row per entry of the lists in some columns, the first entries of all of them side by side, and so on.

        A cell that is no list is a list of one; shorter lists are filled with missing cells. Rows keep their origin.

        Raises:
            TableError: no such column.
        """
        if not columns:
            return self
        lists = {name: [_entries(cell) for cell in self.require(name)] for name in columns}
        count_R = np.array([max(1, *map(len, cells)) for cells in zip(*lists.values(), strict=True)])
        table = self.select(np.repeat(np.arange(len(self)), count_R))
        for name, cells in lists.items():
            values = [
                cell[n] if n < len(cell) else None
                for cell, count in zip(cells, count_R, strict=True)
                for n in range(count)
            ]
            table.frame[name] = pd.Series(values, dtype=object)
        table.notes.append(f"{', '.join(columns)}: {len(self):,} rows with lists became {len(table):,}, one per entry")
        return table

    def origin(self, row: int) -> str:
        """The origin of a row, for messages: ``train.csv, row 17 (id 'x7')``.

        The number is the one that the report and predictions give: rows of all files, counted from 0 as frames do.
        """
        number = position = int(self.rows_N[row])
        place = None
        for name, rows in self.parts:
            if position < rows:
                place = name
                break
            position -= rows
        if place is None:
            raise IndexError(f"row {row} of {self.name} came from none of its parts")
        facts = [f"row {position} of that file"] if position != number else []
        facts += [f"{self.identifier} {self.frame[self.identifier].iloc[row]}"] if self.identifier else []
        return f"{place}, row {number}" + (f" ({', '.join(facts)})" if facts else "")


def _is_identifier(cell: Any) -> bool:
    """Whether a cell can be an identifier: a whole number, or one short word."""
    word = isinstance(cell, str) and 0 < len(cell) <= 64 and not any(map(str.isspace, cell))
    return word or (isinstance(cell, (int, np.integer)) and not isinstance(cell, bool))


def _entries(cell: Any) -> list[Any]:
    """The entries of a list cell; a plain cell is one entry, a missing one none."""
    if isinstance(cell, (list, tuple, np.ndarray)):
        return list(cell)
    return [] if cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell)) else [cell]


def read_table(
    source: Any,
    *,
    media_root: str | Path | None = None,
    where: str | None = None,
    formats: Mapping[str, str] | None = None,
    decide: bool = True,
) -> Table:
    """Read a table from any of the forms that polyfuse takes.

    Args:
        source: path of a CSV, TSV, JSON, JSON Lines or Parquet file; a list of such paths; a pandas DataFrame or
            Arrow table; a Hugging Face ``Dataset`` (media columns are not decoded); a list of dicts; a dict of lists;
            any of these in a dict with the keys train, val and test; or a ``Table``.
        media_root: folder that relative media paths start from; each file's own folder when left out.
        where: pandas query that says which rows to keep.
        formats: column -> how its numbers or dates are written: ``point``, ``comma``, ``day_first``, ``month_first``.
        decide: find that out for the other columns; a table to predict is read as the one that was learnt from.

    Raises:
        TableError: nothing there, not readable, duplicate column names, or no rows.

    Example:
        >>> len(read_table([{"text": "good", "stars": 5}, {"text": "bad", "stars": 1}]))
        2
    """
    root = _check_media_root(media_root) if media_root is not None else None
    if isinstance(source, Table):
        table = replace(source, root=root or source.root, notes=list(source.notes))
    else:
        table = _concatenate(read_parts(source), root, formats or {}, decide)
    if not len(table):
        raise TableError(f"{table.name} has no rows")
    return table.where(where) if where else table


def _check_media_root(path: str | Path) -> Path:
    root = Path(path).expanduser()
    if not root.is_dir():
        raise TableError(f"media root {root}: no such folder")
    return root.resolve()


def _concatenate(parts: list[SourcePart], root: Path | None, formats: Mapping[str, str], decide: bool) -> Table:
    """One table of all parts, below each other, with plain cells."""
    roots = {part.root for part in parts}
    if root is None and len(roots) > 1:
        parts = [replace(part, frame=_make_paths_absolute(part)) for part in parts]
    notes = [note for part in parts for note in part.notes] + _note_absent_columns(parts)
    if not all(part.text for part in parts):
        parts = [
            replace(part, frame=_map_columns(parse_text_column, part.frame, notes)) if part.text else part
            for part in parts
        ]
    frame = pd.concat([part.frame for part in parts], ignore_index=True) if len(parts) > 1 else parts[0].frame
    usual = next((part.usual for part in parts if part.usual), "")
    if all(part.text for part in parts):
        found = normalize_formats(frame, formats, decide=decide, usual=usual)
        # files of text are typed together, so that one file's "007" keeps the other file's "12" a text as well
        frame = _map_columns(parse_text_column, found.frame, notes, but=found.undecided)
    else:
        found = normalize_formats(
            _map_columns(coerce_column, frame, notes), formats, decide=decide, usual=usual, typed=True
        )
        frame = found.frame
    notes.extend(found.notes)
    split = _add_split(frame, parts, notes)
    return Table(
        frame,
        root=root or (roots.pop() if len(roots) == 1 else None),
        name=", ".join(part.name for part in parts),
        notes=notes,
        split=split,
        parts=tuple((part.name, len(part.frame)) for part in parts),
        rows_N=np.arange(len(frame)),
        formats=found.formats,
        undecided=found.undecided,
        alike=tuple(dict.fromkeys(group for part in parts for group in part.alike)),
    )


def _map_columns(
    change: Callable[[pd.Series], tuple[pd.Series, list[str]]],
    frame: pd.DataFrame,
    notes: list,
    but: Iterable[str] = (),
) -> pd.DataFrame:
    """Every column changed, but for some; what each change has to say goes into ``notes``."""
    changed = [(frame[name], []) if name in but else change(frame[name]) for name in frame]
    notes.extend(note for _, said in changed for note in said)
    return pd.DataFrame({series.name: series for series, _ in changed}, index=frame.index)


def _note_absent_columns(parts: list[SourcePart]) -> list[str]:
    names = dict.fromkeys(name for part in parts for name in part.frame)
    absent = [(part.name, [name for name in names if name not in part.frame]) for part in parts]
    return [f"{part} has no column {', '.join(map(repr, gone))}: missing there" for part, gone in absent if gone]


def _make_paths_absolute(part: SourcePart) -> pd.DataFrame:
    """Relative media paths made absolute, for files of different folders have no common place to start from."""
    if part.root is None:
        return part.frame
    start = part.root

    def full(cell: Any) -> Any:
        return (
            str(start / cell.strip())
            if isinstance(cell, str) and modality_from_ending(cell) and "://" not in cell
            else cell
        )

    texts = [name for name in part.frame if part.frame[name].dtype in (object, "str")]
    return part.frame.assign(**{name: part.frame[name].map(full) for name in texts})


def _add_split(frame: pd.DataFrame, parts: list[SourcePart], notes: list[str]) -> str | None:
    """Add the column that says which file a row came from, when all files name a split and they differ."""
    splits = [part.split for part in parts if part.split]
    if len(splits) < len(parts) or len(set(splits)) == 1:
        return None
    name = "split" if "split" not in frame else "file_split"
    frame[name] = np.repeat(splits, [len(part.frame) for part in parts])
    notes.append(f"column {name!r} is added: {', '.join(f'{part.name} is {part.split}' for part in parts)}")
    return name
