"""Rows of a table explained: read as any model is asked them, media as the content of their files; and written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.data.cells.items import split_media
from polyfuse.data.cells.numbers import parse_number
from polyfuse.data.cells.source import BadCell, Sound, is_missing, load_media
from polyfuse.data.tables import Table
from polyfuse.explain.attribution import MEDIA
from polyfuse.explain.page import page
from polyfuse.explain.rows import Explanations, explain_records
from polyfuse.runtime.servant import Record, Servant

ENDINGS: dict[str, Callable[[Explanations], str]] = {
    ".html": page,
    ".json": lambda found: json.dumps(found.to_json(), ensure_ascii=False, indent=1, allow_nan=False),
}
"""Ending of a file -> what it holds."""


def explain_table(servant: Servant, table: Table, rows: Sequence[int], **asked: Any) -> tuple[Explanations, list[str]]:
    """Some rows of a table explained, and what is to be said of cells that cannot be read.

    Args:
        table: its numbers and dates in one form already.
        rows: numbers of rows in the whole table, from 0 on.
        asked: as for ``rows.explain_records``.

    Raises:
        ValueError: no such row, and as ``rows.explain_records``.
    """
    kinds = {column: kind for facts in servant.inputs.values() for column, kind in facts.kinds.items()}
    own = dict.fromkeys((column for facts in servant.outputs.values() for column in facts.reads), "text")
    records, notes = records_of(table, rows, own | kinds)
    return Explanations(servant.name, table.name, explain_records(servant, records, rows=rows, **asked)), notes


def write(found: Explanations, place: Path) -> None:
    """Into a file, in the form of its ending."""
    place.write_text(ENDINGS[place.suffix.lower()](found), encoding="utf8")


def records_of(table: Table, rows: Sequence[int], kinds: Mapping[str, str]) -> tuple[list[Record], list[str]]:
    """Some rows of a table, and a note per cell that cannot be read, which is missing then.

    Args:
        table: its numbers and dates in one form already.
        rows: numbers of rows in the whole table, from 0 on.
        kinds: column -> ``image``, ``text``, ``number`` and so on, of those that the model reads.

    Raises:
        ValueError: no such row.
    """
    notes, found = list[str](), list[Record]()
    for number in rows:
        places = np.flatnonzero(table.rows_N == number)
        if not len(places):
            total = sum(count for _, count in table.parts)
            known = f"its rows go from 0 to {total - 1:,}"
            raise ValueError(
                f"there is no row {number} in {table.name}: {known}"
                if not 0 <= number < total
                else f"row {number} of {table.name} is not among those that where keeps"
            )
        row = table.frame.iloc[int(places[0])]
        found.append({c: _cell(row[c], kind, table, notes, f"row {number}, {c}") for c, kind in kinds.items()})
    return found, notes


def _cell(value: Any, kind: str, table: Table, notes: list[str], where: str) -> Any:
    if is_missing(value):
        return None
    if kind in MEDIA:
        items = [_content(item, table, notes, where) for item in split_media(value)]
        return items[0] if len(items) == 1 else items
    if kind == "number" and isinstance(value, str):
        return parse_number(value)
    return value.item() if isinstance(value, np.generic) else value


def _content(item: Any, table: Table, notes: list[str], where: str) -> Any:
    """The bytes or array of a medium; a sound as the record that it is read from."""
    if is_missing(item):
        return None
    try:
        content = load_media(item, table.root)
    except BadCell as error:
        notes.append(f"{where} counts as missing, it cannot be read: {error}")
        return None
    if isinstance(content, Sound):
        return {"array": content.samples, "sampling_rate": content.rate}
    return content
