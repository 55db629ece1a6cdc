"""Target transform of tags: a label per word, learnt as IOB2 and written back as it came.

A cell is a list of tags as long as the list of words beside it, or a list of spans of characters over a plain text.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from polyfuse.data.cells.literals import parse_list
from polyfuse.data.cells.source import BadCell, Limits, UnseenLabel, is_missing
from polyfuse.data.cells.tag_schemes import OUTSIDE, Span, convert, recognise, spans_of, split_tag, tags_of
from polyfuse.data.cells.targets import to_json_label
from polyfuse.data.cells.text import as_text
from polyfuse.data.cells.transform import pad
from polyfuse.data.cells.word_lists import UNCUT, as_places, word_places

FORMS = ("tags", "spans")


def listed_tags(cell: Any) -> list[Any] | None:
    """The tags of a cell: a list, one written as text, or tags between blanks; None for anything else."""
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if isinstance(cell, str):
        cell = parse_list(cell) if cell.lstrip()[:1] == "[" else cell.split()
    if not isinstance(cell, (list, tuple)) or not all(isinstance(tag, (str, int, np.integer)) for tag in cell):
        return None
    return [to_json_label(tag) for tag in cell]


def listed_spans(cell: Any) -> list[Mapping[str, Any]] | None:
    """The spans ``{start, end, label}`` of a cell: a list of objects, or one written as text; else None."""
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    cell = parse_list(cell) if isinstance(cell, str) else cell
    if not isinstance(cell, (list, tuple)) or not all(isinstance(span, Mapping) for span in cell):
        return None
    return list(cell) if all({"start", "end", "label"} <= span.keys() for span in cell) else None


class Tags:
    """A tag per word (``target.tags``), of cells (tags, words). Fields ``target`` (U, W) int64, 0 behind the end, and
    ``lengths`` (U,).

    Args:
        form: ``tags``, or ``spans`` of characters.
        known: the tags of a checkpoint, in the order of its scores; else those of training are learnt.
    """

    media = False
    joint = True

    def __init__(self, form: str = "tags", known: Sequence[str] | None = None):
        if form not in FORMS:
            raise ValueError(f"form: expected {' or '.join(FORMS)}, found {form!r}")
        self.form, self.signs, self.known = form, form == "spans", known
        self.column = ""
        self.scheme = "iob2"
        self.classes: list[Any] = []
        self.typical = 1.0
        self.notes: list[str] = []
        self._place: dict[Any, int] = {}

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn the tags, and the scheme in which they are written.

        Raises:
            ValueError: no training row has tags, or all words have one.
        """
        self.column = next(iter(columns))
        read = [self._read(cell) for cell in cells]
        found = [made[0] for made in read if isinstance(made, tuple)]
        if not any(found):
            why = next((f"; the first cell: {made}" for made in read if isinstance(made, BadCell)), "")
            raise ValueError(f"output {self.column!r}: no training row has a tag per word{why}")
        self.scheme = "iob2" if self.form == "spans" else recognise(found)
        if self.known is not None:
            self._take(self.known, found)
            return
        learnt = [convert(tags, "plain" if self.scheme == "plain" else "iob2") for tags in found]
        counts = Counter(tag for tags in learnt for tag in tags)
        if self.scheme == "plain":
            self.classes = sorted(counts, key=lambda tag: (isinstance(tag, str), tag))
        else:
            labels = sorted({span.label for tags in learnt for span in spans_of(tags)})
            self.classes = [OUTSIDE, *(tag for label in labels for tag in tags_of([Span(0, 2, label)], 2, "iob2"))]
        if len(self.classes) < 2:
            raise ValueError(f"output {self.column!r}: every word of training has the tag {self.classes[0]!r}")
        self.typical = float(np.mean([len(tags) for tags in found]))
        self._index()
        self._note()

    def _take(self, known: Sequence[str], found: Sequence[Sequence[Any]]) -> None:
        """Take the tags of a checkpoint: where they are IOB2, cells may write them otherwise.

        Raises:
            ValueError: training has a tag that is not among them.
        """
        self.classes = list(known)
        letters: dict[str, set[str]] = {}
        for letter, label in map(split_tag, known):
            letters.setdefault(letter, set()).add(label)
        spans = letters.keys() == {OUTSIDE, "B", "I"} and letters["I"] <= letters["B"] and letters[OUTSIDE] == {""}
        if not spans or known.count(OUTSIDE) != sum(split_tag(tag)[0] == OUTSIDE for tag in known):
            self.scheme = "plain"
        self.typical = float(np.mean([len(tags) for tags in found]))
        self._index()
        self._note()
        for tags in found:
            for tag, own in zip(tags, convert(tags, "plain" if self.scheme == "plain" else "iob2"), strict=True):
                if own not in self._place:
                    raise ValueError(
                        f"output {self.column!r}: the checkpoint does not know the tag {tag!r}; it knows "
                        f"{', '.join(map(repr, known[:20]))}"
                    )

    def _note(self) -> None:
        named = {"plain": "plain labels", "bilou": "BILOU"}.get(self.scheme, self.scheme.upper())
        kinds = len(self.classes) if self.scheme == "plain" else len(self.classes) // 2
        self.notes = [f"output {self.column!r}: tags are {named} of {kinds:,} {'labels' if kinds > 1 else 'label'}"]

    def _index(self) -> None:
        self._place = {tag: n for n, tag in enumerate(self.classes)}

    def facts(self) -> dict[str, Any]:
        """``classes``, the tags as they are learnt; ``scheme`` of the cells; ``typical``, words of a training row."""
        return {"classes": self.classes, "scheme": self.scheme, "typical": self.typical}

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {**self.facts(), "column": self.column}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.classes, self.scheme, self.typical = list(state["classes"]), state["scheme"], state["typical"]
        self.column = state["column"]
        self._index()

    def _read(self, cell: tuple[Any, Any]) -> tuple[list[Any], list[tuple[int, int]]] | BadCell | None:
        """The tags of a row as they are written, IOB2 where they are spans, and the places of its words.

        None where the row has no tags, which is nothing wrong.
        """
        said, words = cell
        empty = isinstance(said, (list, tuple, np.ndarray)) and len(said) == 0
        if is_missing(said) and not (empty and self.form == "spans" and not is_missing(words)):
            return None
        if is_missing(words):
            return BadCell("there are tags, and no words beside them")
        places = word_places(words, self.signs)
        if isinstance(places, BadCell):
            return places
        if self.form == "spans":
            made = self._tags_of_spans(said, words, places)
            return made if isinstance(made, BadCell) else (made, places)
        tags = listed_tags(said)
        if tags is None:
            return BadCell(f"expected a list of tags, one per word, found {str(said)[:60]!r}")
        if len(tags) != len(places):
            return BadCell(f"{len(tags):,} tags for {len(places):,} words")
        return (tags, places) if tags else None

    def _tags_of_spans(self, cell: Any, words: Any, places: list[tuple[int, int]]) -> list[str] | BadCell:
        """Spans of characters as IOB2 tags of the words that they touch."""
        spans = [] if is_missing(cell) else listed_spans(cell)
        if spans is None:
            return BadCell(f"expected spans [{{start, end, label}}], found {str(cell)[:60]!r}")
        text = as_text(words, UNCUT)
        if isinstance(text, BadCell):
            return text
        checked = sorted(_checked(spans, text), key=lambda span: span[:2] if isinstance(span, tuple) else (-1, -1))
        starts, ends = (np.array(side) for side in zip(*places, strict=True)) if places else (np.zeros(0), np.zeros(0))
        found: list[Span] = []
        before = 0
        for span in checked:
            if isinstance(span, BadCell):
                return span
            start, end, label = span
            if start < before:
                return BadCell(f"span {start} to {end} ({label}) overlaps the one before it")
            before = end
            first, last = int(np.searchsorted(ends, start, "right")), int(np.searchsorted(starts, end, "left"))
            first = max(first, found[-1].end) if found else first  # two that share a word: the first has it
            if first < last:
                found.append(Span(first, last, label))
        return tags_of(found, len(places), "iob2")

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:  # noqa: ARG002
        """Per cell int32 (W, 3): the class of each word and its place."""
        return [self._encode(cell) for cell in cells]

    def _encode(self, cell: tuple[Any, Any]) -> np.ndarray | BadCell:
        made = self._read(cell)
        if made is None:
            return BadCell("no tags")
        if isinstance(made, BadCell):
            return made
        tags, places = made
        learnt = convert(tags, "plain" if self.scheme == "plain" else "iob2")
        for tag, own in zip(tags, learnt, strict=True):
            if own not in self._place or (self.scheme != "plain" and own == OUTSIDE and tag != OUTSIDE):
                known = ", ".join(map(repr, self.classes[:10])) + (" and others" if len(self.classes) > 10 else "")
                return UnseenLabel(f"tag {tag!r} was not seen in training; known, as IOB2: {known}")
        ids = np.array([self._place[tag] for tag in learnt], np.int32)
        return np.concatenate([ids[:, None], as_places(places)], 1)

    def broken(self, cells: Sequence[Any]) -> list[tuple[int, str, BadCell]]:
        """Rows whose tags cannot be read, or were not seen in training."""
        return list(self._failures(cells))

    def _failures(self, cells: Sequence[Any]) -> Iterator[tuple[int, str, BadCell]]:
        for position, cell in enumerate(cells):
            made = self._encode(cell) if self._read(cell) is not None else None
            if isinstance(made, BadCell):
                yield position, self.column, made

    def unseen(self, cells: Sequence[Any]) -> list[tuple[int, str, Any]]:  # noqa: ARG002
        """None: a tag that training did not show is an error, see ``broken``."""
        return []

    def decode(self, cells: Sequence[np.ndarray]) -> list[list[Any]]:
        """Arrays back to tags in their own scheme, or to spans."""
        return [
            written_back([self.classes[n] for n in cell[:, 0]], cell[:, 1:].tolist(), self.scheme, self.form)
            for cell in cells
        ]

    def blank(self) -> np.ndarray:
        """Stands for no target."""
        return np.zeros((0, 3), np.int32)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``target`` (U, W), ``lengths`` (U,)."""
        target, lengths = pad([cell[:, 0] for cell in cells])
        return {"target": target.astype(np.int64), "lengths": lengths}


def written_back(tags: Sequence[Any], places: Sequence[Sequence[int]], scheme: str, form: str) -> list[Any]:
    """IOB2 tags as the cells of training were written: in their scheme, or as spans of characters.

    Args:
        places: start and end of each word.
    """
    if form == "tags":
        return convert(tags, scheme)
    return [
        {"start": int(places[span.start][0]), "end": int(places[span.end - 1][1]), "label": span.label}
        for span in spans_of(tags)
    ]


def _checked(spans: Sequence[Mapping[str, Any]], text: str) -> list[tuple[int, int, str] | BadCell]:
    """Start, end and label of each span, or what is wrong with it."""
    found: list[tuple[int, int, str] | BadCell] = []
    for span in spans:
        start, end, label = span["start"], span["end"], span["label"]
        whole = all(
            isinstance(at, (int, np.integer)) or (isinstance(at, float) and at.is_integer()) for at in (start, end)
        )
        if not whole or is_missing(label):
            found.append(BadCell(f"span {dict(span)}: expected whole numbers for start and end, and a label"))
            continue
        start, end = int(start), int(end)
        if not 0 <= start < end <= len(text):
            found.append(
                BadCell(f"span {start} to {end} lies outside the text of {len(text):,} characters, or is empty")
            )
        elif any(0 < at < len(text) and _joins(text, at) for at in (start, end)):
            found.append(BadCell(f"span {start} to {end} cuts a character: a mark belongs to the letter before it"))
        else:
            found.append((start, end, str(label)))
    return found


def _joins(text: str, at: int) -> bool:
    """Whether the character at a place belongs to the one before it."""
    return unicodedata.category(text[at])[0] == "M" or "\u200d" in text[at - 1 : at + 1] or text[at] in "\ufe0e\ufe0f"
