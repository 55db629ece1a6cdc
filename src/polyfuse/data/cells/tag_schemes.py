"""How sequences of tags write spans of words: IOB1, IOB2, IOBES (and BILOU), or plain labels that write none.

Ramshaw and Marcus, Text chunking using transformation-based learning, 1995 (IOB1); Ratnaparkhi, 1998 (IOB2); Uchimoto
et al., 2000 (IOBES). Spans are read as ``conlleval`` reads them, so that what breaks a scheme has spans too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

OUTSIDE = "O"
SCHEMES = ("iob1", "iob2", "iobes", "bilou", "plain")
_TAG = re.compile(r"([BIESLU])(?:-(.*))?", re.DOTALL)
_LETTERS = {"iob1": "BI", "iob2": "BI", "iobes": "BIES", "bilou": "BILU"}
_READ = {"L": "E", "U": "S"}  # BILOU's letters as those of IOBES


class Span(NamedTuple):
    """Words ``start`` to ``end``, the latter not among them, and what they are."""

    start: int
    end: int
    label: str


def split_tag(tag: Any) -> tuple[str, str]:
    """The letter of a tag, those of IOBES for BILOU, and its label; ``O`` and nothing for what begins no span."""
    match = _TAG.fullmatch(tag) if isinstance(tag, str) else None
    if match is None:
        return OUTSIDE, ""
    return _READ.get(match[1], match[1]), match[2] or ""


def spans_of(tags: Sequence[Any]) -> list[Span]:
    """The spans of a sequence, whatever its scheme, as ``conlleval`` reads it.

    >>> spans_of(["I-PER", "I-PER", "O", "B-LOC", "I-ORG"])
    [Span(start=0, end=2, label='PER'), Span(start=3, end=4, label='LOC'), Span(start=4, end=5, label='ORG')]
    """
    found: list[Span] = []
    start, before, label = 0, OUTSIDE, ""
    for at, tag in enumerate([*tags, OUTSIDE]):
        letter, own = split_tag(tag)
        inside = before != OUTSIDE
        goes_on = inside and letter in ("I", "E") and before in ("B", "I") and own == label
        if inside and not goes_on:
            found.append(Span(start, at, label))
        if letter != OUTSIDE and not goes_on:
            start = at
        before, label = letter, own
    return found


def strict_spans_of(tags: Sequence[Any]) -> list[Span]:
    """The spans of a sequence in IOB2, as seqeval's strict mode reads it: a ``B`` begins each, and nothing else does.

    >>> strict_spans_of(["I-PER", "O", "B-LOC", "I-ORG"])
    [Span(start=2, end=3, label='LOC')]
    """
    found: list[Span] = []
    goes_on = False
    for at, tag in enumerate(tags):
        letter, label = split_tag(tag)
        if letter == "B":
            found.append(Span(at, at + 1, label))
        elif goes_on and letter == "I" and label == found[-1].label:
            found[-1] = found[-1]._replace(end=at + 1)
        goes_on = bool(found) and found[-1].end == at + 1
    return found


def tags_of(spans: Iterable[Span], length: int, scheme: str) -> list[str]:
    """Spans, in order and apart, as the tags of a sequence.

    >>> tags_of([Span(0, 2, "PER"), Span(2, 3, "PER")], 4, "iob1")
    ['I-PER', 'I-PER', 'B-PER', 'O']
    """
    tags = [OUTSIDE] * length
    last: Span | None = None
    for span in spans:
        touches = last is not None and last.end == span.start and last.label == span.label
        tags[span.start : span.end] = _written(span.end - span.start, span.label, scheme, touches)
        last = span
    return tags


def _written(words: int, label: str, scheme: str, touches: bool) -> list[str]:
    """The tags of one span; ``touches`` says that one of the same label ends where it begins."""
    end = f"-{label}" if label else ""
    if scheme == "iob1":
        return [f"{'B' if touches else 'I'}{end}"] + [f"I{end}"] * (words - 1)
    if scheme == "iob2":
        return [f"B{end}"] + [f"I{end}"] * (words - 1)
    last, single = ("E", "S") if scheme == "iobes" else ("L", "U")
    if words == 1:
        return [f"{single}{end}"]
    return [f"B{end}"] + [f"I{end}"] * (words - 2) + [f"{last}{end}"]


def convert(tags: Sequence[Any], scheme: str) -> list[Any]:
    """A sequence in another scheme, by its spans; plain labels stay as they are."""
    return list(tags) if scheme == "plain" else tags_of(spans_of(tags), len(tags), scheme)


def recognise(sequences: Iterable[Sequence[Any]]) -> str:
    """The scheme in which sequences are written.

    A ``B`` that follows no span of its own label is one of IOB2; an ``I`` that begins a span is one of IOB1. Where some
    sequences do this and some that, most decide.
    """
    begun_by_b = begun_by_i = 0
    letters: set[str] = set()
    for tags in sequences:
        before: tuple[str, str] = (OUTSIDE, "")
        for tag in tags:
            if tag != OUTSIDE and not (isinstance(tag, str) and _TAG.fullmatch(tag)):
                return "plain"
            letter, label = (tag[0], tag[2:]) if tag != OUTSIDE else (OUTSIDE, "")
            letters.add(letter)
            opens = before[0] == OUTSIDE or before[1] != label
            begun_by_b += letter == "B" and opens
            begun_by_i += letter == "I" and opens
            before = letter, label
    letters.discard(OUTSIDE)
    if not letters:
        return "plain"
    if letters & {"L", "U"}:
        return "bilou" if letters <= set(_LETTERS["bilou"]) else "plain"
    if letters & {"E", "S"}:
        return "iobes"
    return "iob1" if begun_by_i > begun_by_b else "iob2"
