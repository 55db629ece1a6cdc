"""Target transform of text outputs: one or several reference texts per cell, as token ids.

The texts themselves are kept beside their ids, so that a model is judged by what its references say and not by what the
vocabulary can spell of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from polyfuse.data.cells.literals import parse_list
from polyfuse.data.cells.source import BadCell, Limits
from polyfuse.data.cells.spelling import PAD, SPECIALS, UNITS, Speller
from polyfuse.data.cells.text import as_text, exceeds_limit

LONGEST = 256  # units of a text that "auto" keeps at most
FIT_SAMPLE = 200_000  # texts, evenly picked, that a vocabulary is learnt from
LEAST = {"word": len(SPECIALS) + 1, "char": len(SPECIALS) + 1, "bpe": len(SPECIALS) + 256, "auto": len(SPECIALS) + 256}


def references(cell: Any, limits: Limits) -> list[str] | BadCell:
    """The reference texts of a cell: one, or those of a list, which may be written as text; empty ones are left out."""
    members: Any = parse_list(cell) if isinstance(cell, str) else cell
    if isinstance(members, (set, frozenset)):
        members = sorted(members, key=str)
    several = isinstance(members, (list, tuple, np.ndarray)) and all(isinstance(text, str) for text in members)
    found = [as_text(text, limits) for text in members] if several else [as_text(cell, limits)]
    texts = [text for text in found if isinstance(text, str)]
    return texts or BadCell("no visible character in any reference text")


class Text:
    """Reference texts as ids (``target.text``).

    Fields ``ids`` (U, R, T) int64 with 0 behind the end, without the signs of beginning and end; ``units`` (U, R)
    int64, 0 where a cell has fewer references; ``whole`` (U, R) bool, False where a text was cut.

    Args:
        unit: ``word``, ``char``, ``bpe`` (pieces of bytes, so that nothing is unknown), or ``auto``.
        vocabulary: at most so many different units.
        max_length: units of a text; of longer ones the beginning is learnt. ``auto`` is the longest training text's, up
            to 256.
        tokenizer: path of a checkpoint's ``tokenizer.json``, by which texts are spelt instead; read once.
        end: its id that ends a text.
        lead: what the checkpoint was taught to write before a text.
    """

    media = joint = False

    def __init__(
        self,
        unit: str = "auto",
        vocabulary: int = 8000,
        max_length: int | str = "auto",
        tokenizer: str | None = None,
        end: int | None = None,
        lead: str = "",
    ):
        if unit not in ("auto", *UNITS):
            raise ValueError(f"unit: expected auto, {', '.join(UNITS)}, found {unit!r}")
        if vocabulary < LEAST[unit]:
            raise ValueError(f"vocabulary: expected {LEAST[unit]} or more for unit {unit}, found {vocabulary}")
        if max_length != "auto" and not (isinstance(max_length, int) and max_length >= 1):
            raise ValueError(f"max_length: expected 'auto' or a number from 1 on, found {max_length!r}")
        self.unit, self.vocabulary, self.max_length = unit, vocabulary, max_length
        self.tokenizer, self.end, self.lead = tokenizer, end, lead
        self.speller, self.longest = Speller("word"), 1
        self.notes: list[str] = []

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:
        """Learn the units, and how long texts are.

        Raises:
            ValueError: no training row has a text.
        """
        name = next(iter(columns))
        found = [references(cell, limits) for cell in cells]
        texts = [text for cell in found if not isinstance(cell, BadCell) for text in cell]
        if not texts:
            raise ValueError(f"output {name!r}: no training row has a text")
        if self.tokenizer is not None and self.end is not None:
            self.speller = Speller.from_checkpoint(self.tokenizer, self.end, self.lead)
        else:
            self.speller = Speller.train(texts[:: -(-len(texts) // FIT_SAMPLE)], self.unit, self.vocabulary)
        lengths = np.array([len(ids) for ids in self.speller.encode(texts)])
        most = LONGEST if self.max_length == "auto" else int(self.max_length)
        self.longest = max(1, min(most, int(lengths.max())))
        self.notes = self._make_notes(
            name, texts, lengths, sum(exceeds_limit(c, limits) for c in cells if isinstance(c, str))
        )

    def _make_notes(self, name: str, texts: list[str], lengths: np.ndarray, beyond: int) -> list[str]:
        """Make notes: the tokenizer, truncated texts, and whether all texts are alike."""
        units = {"word": "words", "char": "characters", "bpe": "pieces of bytes"}
        unit = units.get(self.speller.unit, "tokens of the checkpoint")
        notes = [
            f"output {name!r} is written in {self.speller.vocabulary - len(SPECIALS):,} different {unit}, up to "
            f"{self.longest:,} of them in a text"
        ]
        if cut := int((lengths > self.longest).sum()):
            notes.append(
                f"output {name!r}: {cut:,} of {len(texts):,} training texts are longer than {self.longest:,} {unit}, "
                f"and only their beginning is learnt; raise outputs.{name}.head.max_length to learn more"
            )
        if beyond:
            notes.append(
                f"output {name!r}: {beyond:,} training cells have more characters than are read; raise "
                "data.limits.characters to read more"
            )
        if len(texts) > 1 and len(set(texts)) == 1:
            notes.append(f"output {name!r}: every training text is the same, so that nothing but it can be learnt")
        return notes

    def facts(self) -> dict[str, Any]:
        """``speller``, how texts are spelt, as JSON, and ``longest``: units of a text."""
        return {"speller": self.speller.state(), "longest": self.longest}

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {"speller": self.speller.state(), "longest": self.longest}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.speller, self.longest = Speller.from_state(state["speller"]), int(state["longest"])

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:
        """Per cell int32: how many references, then of each how many characters and units, then both."""
        found = [references(cell, limits) for cell in cells]
        spelt = iter(self.speller.encode([t for cell in found if not isinstance(cell, BadCell) for t in cell]))
        return [c if isinstance(c, BadCell) else self._pack(c, [next(spelt) for _ in c]) for c in found]

    def _pack(self, texts: list[str], spelt: list[list[int]]) -> np.ndarray:
        parts = [[len(texts)], [len(text) for text in texts], [len(ids) for ids in spelt]]
        parts += [[ord(character) for character in text] for text in texts]
        parts += [ids[: self.longest] for ids in spelt]
        return np.array([number for part in parts for number in part], np.int32)

    def _unpack(self, cell: np.ndarray) -> tuple[list[str], list[np.ndarray], np.ndarray]:
        """Texts, ids of each as far as they were kept, and how many there were."""
        count = int(cell[0])
        characters, units = cell[1 : 1 + count], cell[1 + count : 1 + 2 * count]
        ends = 1 + 2 * count + np.cumsum([0, *characters, *np.minimum(units, self.longest)])
        parts = [cell[start:end] for start, end in pairwise(ends)]
        return ["".join(map(chr, part)) for part in parts[:count]], parts[count:], units

    def decode(self, cells: Sequence[np.ndarray]) -> list[str | list[str]]:
        """Arrays back to the references: the text where there is one, a list where there are several."""
        found = [self._unpack(cell)[0] for cell in cells]
        return [texts[0] if len(texts) == 1 else texts for texts in found]

    def blank(self) -> np.ndarray:
        """Stands for no target."""
        return np.array([1, 0, 0], np.int32)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``ids`` (U, R, T), ``units`` (U, R), ``whole`` (U, R)."""
        found = [self._unpack(cell) for cell in cells]
        most = max(len(parts) for _, parts, _ in found)
        longest = max(1, *(len(part) for _, parts, _ in found for part in parts))
        ids = np.full((len(cells), most, longest), PAD, np.int64)
        lengths, whole = np.zeros((len(cells), most), np.int64), np.zeros((len(cells), most), bool)
        for u, (_, parts, units) in enumerate(found):
            for r, part in enumerate(parts):
                ids[u, r, : len(part)], lengths[u, r] = part, len(part)
                whole[u, r] = units[r] <= self.longest
        return {"ids": ids, "units": lengths, "whole": whole}
