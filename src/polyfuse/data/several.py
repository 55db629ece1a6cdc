"""Several files in one cell: a list of them, a list written as text, or paths divided by semicolons, bars or commas.

The first, second, ... of a cell are slots of its column, which share an encoder; a cell with fewer misses the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from polyfuse.data.cells.items import items_of

MOST = 8
"""Slots that a column gets by itself."""


def most_items(cells: Iterable[Any]) -> int:
    """How many media the fullest cell holds."""
    return max((len(items_of(cell)) for cell in cells), default=1)
