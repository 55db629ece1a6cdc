"""Where the words of a cell lie: items of a list, runs between blanks, or words and signs of a plain text.

``text.split`` gives these places to a head that answers word by word; whatever encoder reads the same cell says where
its tokens lie, and the two meet by place, never by counting.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyfuse.data.cells.literals import parse_list
from polyfuse.data.cells.source import BadCell, Limits
from polyfuse.data.cells.text import as_text
from polyfuse.data.cells.transform import pad
from polyfuse.data.cells.words import word_spans

UNCUT = Limits(characters=sys.maxsize)  # every word gets a tag, however long the text
_RUN = re.compile(r"\S+")


def listed_words(cell: Any) -> list[str] | None:
    """The words of a cell that is a list of texts, or was written from one; None for any other cell."""
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    members = parse_list(cell) if isinstance(cell, str) and cell.lstrip()[:1] == "[" else cell
    if not isinstance(members, (list, tuple)) or not all(isinstance(word, (str, int, float)) for word in members):
        return None
    return [str(word) for word in members]


def word_places(cell: Any, signs: bool = False) -> list[tuple[int, int]] | BadCell:
    """Start and end of each word in the text of a cell, as ``as_text`` gives it.

    Args:
        signs: of a plain text, words and signs one by one; else runs between blanks.
    """
    words = listed_words(cell)
    if words is None:
        text = as_text(cell, UNCUT)
        if isinstance(text, BadCell):
            return text
        return word_spans(text, sys.maxsize) if signs else [match.span() for match in _RUN.finditer(text)]
    if isinstance(cell, str):
        return _places_as_written(cell, words)
    ends = np.cumsum([len(word) + 1 for word in words]).tolist()  # a blank joins them
    return [(end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True)]


def _places_as_written(text: str, words: Sequence[str]) -> list[tuple[int, int]] | BadCell:
    """Where each item stands in a list that was written as text; one with escaped signs lies where its quotes do."""
    found, at = [], 0
    for word in words:
        for form in (word, repr(word)[1:-1]):
            start = text.find(form, at)
            if start >= 0:
                break
        else:
            return BadCell(f"the word {word[:40]!r} of this list is not found as it is written")
        at = start + len(form)
        found.append((start, at))
    return found


class WordPlaces:
    """Places of words (``text.split``). Fields ``span`` (U, W, 2) int64 and ``lengths`` (U,); a cell may have none.

    Args:
        signs: see ``word_places``.
    """

    media = joint = False

    def __init__(self, signs: bool = False):
        self.signs = signs

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:
        """Nothing to learn."""

    def facts(self) -> dict[str, Any]:
        """None."""
        return {}

    def state(self) -> dict[str, Any]:
        """Nothing is fitted."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing is fitted."""

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:  # noqa: ARG002
        """Per cell (W, 2) int32."""
        found = (word_places(cell, self.signs) for cell in cells)
        return [places if isinstance(places, BadCell) else as_places(places) for places in found]

    def blank(self) -> np.ndarray:
        """No word."""
        return as_places([])

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``span`` (U, W, 2), ``lengths`` (U,)."""
        span, lengths = pad(list(cells))
        return {"span": span.astype(np.int64), "lengths": lengths}


def as_places(places: Sequence[tuple[int, int]]) -> np.ndarray:
    """Places as an array (W, 2) int32."""
    return np.array(places, np.int32).reshape(-1, 2)
