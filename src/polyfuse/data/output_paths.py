"""Check output paths, so that nothing overwrites the table that is read. Imports no pandas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

TEXTS = (".csv", ".tsv", ".tab", ".txt", ".json", ".jsonl", ".ndjson")
PACKED = (".gz", ".bz2", ".xz", ".zip")
DATA = frozenset((*TEXTS, *PACKED, ".parquet", ".arrow", ".feather", ".xlsx"))
"""Endings of files that hold data, which no page takes the place of."""
MANY = 100  # files of one split, at most; a longer list in a dict is a column


def check_page_path(to: str | Path, source: Any = None) -> Path:
    """Check the path of an HTML page and return it.

    Args:
        source: the table that is read, in any form.

    Raises:
        ValueError: the place is a file of the source, or ends as files of data do.
    """
    place = Path(to).expanduser()
    refuse_source(place, source)
    if place.suffix.lower() in DATA:
        raise ValueError(f"{place} ends as a file of data does, and a page goes there: name a file that ends in .html")
    return place


def refuse_source(place: Path, source: Any) -> None:
    """Refuse a path where writing would destroy the table that is read.

    Raises:
        ValueError: it would; links to the table count as the table.
    """
    if any(_is_same_file(place, file) for file in source_files(source)):
        raise ValueError(f"{place} is the table that is read, and writing there would destroy it: name another file")


def source_files(source: Any) -> list[Path]:
    """The files among what ``read_table`` takes; none of a frame, a dataset or plain Python."""
    if isinstance(source, (str, Path)):
        return [parse_path(source)]
    if isinstance(source, (list, tuple)):
        return [file for item in source if isinstance(item, (str, Path)) for file in source_files(item)]
    if isinstance(source, Mapping):
        lists = [value for value in source.values() if not isinstance(value, (list, tuple)) or len(value) <= MANY]
        return [file for value in lists if isinstance(value, (str, Path, list, tuple)) for file in source_files(value)]
    return []


def parse_path(source: str | Path) -> Path:
    """The path of a file that is named by a path or a ``file://`` address."""
    text = str(source)
    if text[:5].lower() == "file:":
        return Path(unquote(re.sub(r"(?i)^file:/*(?:localhost(?=/))?/*", "/", text)))
    return Path(source).expanduser()


def _is_same_file(place: Path, file: Path) -> bool:
    try:
        return place.samefile(file)
    except (OSError, ValueError):  # one of them is not there, or is no name of a file
        return False
