"""Split cells that hold several files: lists, lists written as text, or paths separated by semicolons, bars or commas.

The first, second, ... of a cell are slots of its column, which share an encoder; a cell with fewer misses the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.data.cells.literals import parse_list
from polyfuse.data.cells.source import is_missing
from polyfuse.data.media import modality_from_ending

MOST = 8
"""Slots that a column gets by itself."""


def split_media(cell: Any) -> list[Any]:
    """Split a cell into its media, in order; a cell that holds one gives a list of one.

    Example:
        >>> split_media("a.jpg;b.jpg"), split_media("['a.jpg']"), split_media("a.jpg")
        (['a.jpg', 'b.jpg'], ['a.jpg'], ['a.jpg'])
    """
    if isinstance(cell, str):
        return _split_text(cell)
    if isinstance(cell, np.ndarray) and cell.dtype == object:
        cell = cell.tolist()
    if isinstance(cell, (list, tuple)) and cell and all(map(_is_medium, cell)):
        return list(cell)
    return [cell]


def _is_medium(item: Any) -> bool:
    """A path, a file's bytes, a record of one, a picture, or an array of pixels; lists of numbers are features."""
    if is_missing(item) or isinstance(item, (str, Path, bytes, bytearray, memoryview, dict)):
        return True
    pixels = isinstance(item, np.ndarray) and (item.ndim == 3 or (item.ndim == 2 and item.dtype == np.uint8))
    return pixels or hasattr(item, "getbands")


def _split_text(text: str) -> list[Any]:
    bare = text.strip()
    if bare[:1] in ("[", "(", "{"):
        items = parse_list(bare)
        return items if items and all(isinstance(item, str) for item in items) else [text]
    if "://" in bare or bare[:5].lower() == "data:":
        return [text]
    for mark in ";|,\n":
        parts = [part.strip() for part in re.split(rf"{re.escape(mark)}", bare) if part.strip()] if mark in bare else []
        if len(parts) > 1 and all(modality_from_ending(part) for part in parts):
            return parts
    return [text]


def max_items(cells: Iterable[Any]) -> int:
    """The largest number of media in one cell."""
    return max((len(split_media(cell)) for cell in cells), default=1)
