"""Find the column whose words a column labels, one by one or by spans of characters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from polyfuse.data.cells.source import BadCell, is_missing
from polyfuse.data.cells.target_tags import listed_spans, listed_tags
from polyfuse.data.cells.text import as_text
from polyfuse.data.cells.word_lists import UNCUT, listed_words, word_places

LOOKED_AT = 300  # rows
MOST = 0.9  # share of rows in which lengths agree; the rest is broken, and named


class WordLabels(NamedTuple):
    """What labels which words.

    Args:
        words: the column of words.
        form: ``tags`` or ``spans``.
        kinds: different labels among the rows that were looked at.
    """

    words: str
    form: str
    kinds: int


def find_words(
    frame: pd.DataFrame, column: str, among: Iterable[str] | None = None, *, named: bool = False
) -> WordLabels | None:
    """The column whose words another column labels; None where it labels none.

    Tags are lists that are as long as those of the words, row by row, of differing lengths, in which labels come again
    and of which there are fewer than words. Spans are objects with ``start``, ``end`` and ``label`` inside a text.

    Args:
        among: columns that may hold the words; by default all others.
        named: somebody said that these hold them, so that lists of one length are labels as well.
    """
    cells: list[tuple[int, Any]] = [(row, cell) for row, cell in enumerate(frame[column]) if not is_missing(cell)]
    cells = cells[:: -(-len(cells) // LOOKED_AT)] if cells else []
    others = [name for name in (frame.columns if among is None else among) if name != column]
    if not cells or not all(_may_be_list(cell) for _, cell in cells):
        return None
    spans = [(row, own) for row, cell in cells if (own := listed_spans(cell))]
    if len(spans) >= MOST * len(cells):
        return _find_text(frame, spans, others)
    tags = [(row, listed_tags(cell)) for row, cell in cells if listed_tags(cell)]
    lengths = {len(own) for _, own in tags if own}
    known = {tag for _, own in tags for tag in own or ()}
    if len(tags) < MOST * len(cells) or not 1 < len(known) <= sum(len(own or ()) for _, own in tags) / 2:
        return None
    if not named and len(lengths) < 2 and len(tags) > 1:
        return None
    found = [(name, different) for name in others if (different := _words_that_fit(frame, name, tags)) > len(known)]
    return WordLabels(max(found, key=lambda one: one[1])[0], "tags", len(known)) if found else None


def _may_be_list(cell: Any) -> bool:
    return isinstance(cell, str) and cell.lstrip()[:1] == "[" if isinstance(cell, str) else not isinstance(cell, dict)


def _words_that_fit(frame: pd.DataFrame, name: str, tags: list[tuple[int, Any]]) -> int:
    """Different words of a column that has as many as there are tags; 0 where it has not, or they are no words."""
    words, fits = set[str](), 0
    for row, own in tags:
        cell = frame[name].iat[row]
        if is_missing(cell) or not (isinstance(cell, str) or listed_words(cell) is not None):
            continue
        places = word_places(cell)
        if not isinstance(places, BadCell) and len(places) == len(own):
            fits += 1
            text = as_text(cell, UNCUT)
            words.update(str(text)[start:end] for start, end in places)
    return len(words) if fits >= MOST * len(tags) else 0


def _find_text(frame: pd.DataFrame, spans: list[tuple[int, Any]], others: list[str]) -> WordLabels | None:
    """The text in which spans lie: the longest that holds nearly all of them."""
    best, longest = None, 0
    for name in others:
        texts = [(frame[name].iat[row], own) for row, own in spans]
        sizes = [
            len(text)
            for cell, own in texts
            if isinstance(cell, str)
            and isinstance(text := as_text(cell, UNCUT), str)
            and all(isinstance(span["end"], (int, float)) and span["end"] <= len(text) for span in own)
            and not any(isinstance(span[side], float) and span[side] % 1 for span in own for side in ("start", "end"))
        ]
        if len(sizes) >= MOST * len(spans) and sum(sizes) > longest:
            best, longest = name, sum(sizes)
    kinds = len({str(span["label"]) for _, own in spans for span in own})
    return None if best is None else WordLabels(best, "spans", kinds)
