"""Split cells that hold several files: lists, lists written as text, or paths separated by semicolons, bars or commas.

The first, second, ... of a cell are slots of its column, which share an encoder; a cell with fewer misses the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from polyfuse.data.cells.items import split_media

MOST = 8
"""Slots that a column gets by itself."""


def max_items(cells: Iterable[Any]) -> int:
    """The largest number of media in one cell."""
    return max((len(split_media(cell)) for cell in cells), default=1)
