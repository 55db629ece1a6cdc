"""Texts on a page, of any length and script: in their own direction, folded where long, named where empty."""

from __future__ import annotations

from dataclasses import dataclass

FOLDED = 240  # characters of a long text that are seen before it is opened
MOST = 4000  # characters of a text that a page holds; some rows of ten thousand words would make a page of megabytes
CLIPPED = 60  # characters of a text in one line
REFERENCES = 5  # that are seen before the others are opened


@dataclass(frozen=True)
class Passage:
    """One text ready for a page.

    Args:
        text: as far as the page holds it.
        beginning: what is seen of a text that is folded; empty of one that is short.
        characters: of the whole text.
    """

    text: str
    beginning: str = ""
    characters: int = 0

    @property
    def cut(self) -> int:
        """Characters that the page leaves out."""
        return self.characters - len(self.text)


def fold_text(text: str) -> Passage:
    """A text, folded where it is long."""
    bare = text.strip()
    if len(bare) <= FOLDED:
        return Passage(bare, characters=len(bare))
    return Passage(bare[:MOST], _beginning(bare), len(bare))


def _beginning(text: str) -> str:
    """The first characters, up to the end of a word where one ends near."""
    kept = text[:FOLDED]
    whole, blank, _ = kept.rpartition(" ")
    return whole if blank and len(whole) > FOLDED - 30 else kept


def clip_text(text: str) -> str:
    """The beginning of a text as one line."""
    line = " ".join(text.split())
    return line if len(line) <= CLIPPED else line[: CLIPPED - 1] + "…"
