"""A text with its labels in it, as pieces that a page colours: what is true, and what was predicted."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyfuse.data.cells.source import BadCell, is_missing
from polyfuse.data.cells.tag_schemes import OUTSIDE, spans_of, split_tag
from polyfuse.data.cells.text import as_text
from polyfuse.data.cells.word_lists import UNCUT, listed_words, word_places

COLOURS = 8
MOST = 3000  # characters of a text that are shown


@dataclass(frozen=True)
class Piece:
    """A run of characters, and its label; empty for none."""

    text: str
    label: str = ""

    @property
    def colour(self) -> int:
        """The number of the label's colour, the same on every page."""
        return zlib.crc32(self.label.encode("utf8", "surrogatepass")) % COLOURS


@dataclass(frozen=True)
class MarkedText:
    """The same text twice; ``true`` is None where it is not known."""

    true: list[Piece] | None
    predicted: list[Piece]


def mark_text(cell: Any, true: Any, predicted: Any) -> MarkedText | None:
    """A cell of words with its tags or spans in it; None where the words cannot be read.

    Args:
        true, predicted: tags, one per word, or spans of characters.
    """
    words = None if is_missing(cell) else listed_words(cell)
    text = BadCell("missing") if is_missing(cell) else as_text(cell if words is None else words, UNCUT)
    places = word_places(words if words is not None else cell)
    if isinstance(text, BadCell) or isinstance(places, BadCell):
        return None
    return MarkedText(None if true is None else _pieces(text, places, true), _pieces(text, places, predicted or []))


def _pieces(text: str, places: Sequence[tuple[int, int]], labels: Sequence[Any]) -> list[Piece]:
    """A text cut at its labels."""
    found, at = [], 0
    for start, end, label in _ranges(places, labels):
        if start >= MOST or start < at:
            break
        found += [Piece(text[at:start]), Piece(text[start:end], label)]
        at = end
    found.append(Piece(text[at:MOST] + ("…" if len(text) > MOST else "")))
    return [piece for piece in found if piece.text]


def _ranges(places: Sequence[tuple[int, int]], labels: Sequence[Any]) -> list[tuple[int, int, str]]:
    """Start, end and label of what is marked, in characters."""
    if any(isinstance(label, Mapping) for label in labels):
        return sorted((int(s["start"]), int(s["end"]), str(s["label"])) for s in labels)
    labels = list(labels[: len(places)])
    if all(label == OUTSIDE or split_tag(label)[0] != OUTSIDE for label in labels):
        return [(places[s.start][0], places[s.end - 1][1], s.label) for s in spans_of(labels)]
    return [(*place, str(label)) for place, label in zip(places, labels, strict=False) if label != OUTSIDE]
