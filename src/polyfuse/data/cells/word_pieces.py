"""Words as the ids of what they look like: themselves, their shape and their character n-grams, capitals kept.

This is ``text.words``, which ``text.words`` encoders read: a token per item of a list, or per word and sign of a text.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from polyfuse.data.cells.source import BadCell, Limits
from polyfuse.data.cells.text import as_text
from polyfuse.data.cells.word_lists import UNCUT, listed_words, word_places
from polyfuse.data.cells.words import character_ngrams, hash_name, normalize_word, word_spans

FIT_SAMPLE = 200_000  # texts, evenly picked, that ids are learnt from
LONGEST = 60  # characters of a word that are looked at
LEADING = 3  # ids of a word itself: the word, the word without case and digits, its shape
REMEMBERED = 200_000
_DIGIT = re.compile(r"\d")
_SAME = re.compile(r"(.)\1+")


def word_shape(word: str) -> str:
    """Capitals, small letters, digits and signs of a word in order, runs of one kind written once.

    >>> word_shape("U.N."), word_shape("McDonald"), word_shape("1996-08-22")
    ('X.X.', 'XxXx', '0-0-0')
    """
    return _SAME.sub(r"\1", "".join(map(_kind, word)))


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] == "N":
        return "0"
    return {"Lu": "X", "Lt": "X", "Ll": "x", "Lo": "o", "Lm": "o"}.get(category, character)


class WordPieces:
    """Each word as ids (``text.words``). Fields ``ids`` (U, T, K) and ``look`` (U, T, 3) int64, ``span`` (U, T, 2) and
    ``lengths`` (U,).

    ``look`` is the word, the word in small letters with its digits as 0, and its shape; ``ids`` are its character
    n-grams, 0 for nothing. What fewer than ``least`` words of training have is 0, so that a net learns to do
    without. A text is read to its end, however long.

    Args:
        buckets: at most so many different ids; the most frequent get them.
        characters: shortest and longest character n-gram.
        least: times that a word, or different words that an n-gram, must have been seen.
    """

    media = joint = False
    ragged: ClassVar = {"ids": (2,)}

    def __init__(self, buckets: int = 2**17, characters: tuple[int, int] = (2, 5), least: int = 2):
        if buckets < 2 or least < 1:
            raise ValueError(f"buckets and least: expected 2 and 1 or more, found {buckets} and {least}")
        self.limit, self.characters, self.least = buckets, (characters[0], characters[1]), least
        self.names = np.zeros(0, np.int64)
        self._ids: dict[str, np.ndarray] = {}

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn which words, shapes and n-grams there are."""
        words = Counter[str]()
        for cell in cells[:: -(-len(cells) // FIT_SAMPLE)]:
            found = _words(cell)
            if not isinstance(found, BadCell):
                words.update(found[0])
        counts = Counter[int]()
        for word, times in words.items():
            own, pieces = self._names(word)
            counts.update(dict.fromkeys(own, times))
            counts.update(dict.fromkeys(pieces, 1))
        kept = sorted((name for name, n in counts.items() if n >= self.least), key=lambda name: (-counts[name], name))
        self.names = np.sort(np.array(kept[: self.limit - 1], np.int64))
        self._ids.clear()

    def facts(self) -> dict[str, Any]:
        """``buckets``: ids are below it."""
        return {"buckets": len(self.names) + 1}

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {"names": self.names.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.names = np.array(state["names"], np.int64)
        self._ids.clear()

    def _names(self, word: str) -> tuple[list[int], list[int]]:
        """Names of a word itself, then of its n-grams."""
        word = normalize_word(word[:LONGEST], case=True)
        own = [f"{word}\0word", f"{_DIGIT.sub('0', word.casefold())}\0lower", f"{word_shape(word)}\0shape"]
        pieces = character_ngrams(_DIGIT.sub("0", word), *self.characters)
        return list(map(hash_name, own)), [hash_name(f"{piece}\0piece") for piece in pieces]

    def _word(self, word: str) -> np.ndarray:
        if word not in self._ids:
            if len(self._ids) >= REMEMBERED:
                self._ids.clear()
            own, pieces = self._names(word)
            ids = self._lookup(np.array([*own, *pieces], np.int64))
            self._ids[word] = np.concatenate([ids[:LEADING], ids[LEADING:][ids[LEADING:] > 0]])
        return self._ids[word]

    def _lookup(self, names: np.ndarray) -> np.ndarray:
        if not len(self.names):
            return np.zeros(len(names), np.int32)
        at = np.searchsorted(self.names, names).clip(max=len(self.names) - 1)
        return np.where(self.names[at] == names, at + 1, 0).astype(np.int32)

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:  # noqa: ARG002
        """Per cell (T, 5 + K) int32: start and end of each word, its three ids, and those of its n-grams."""
        return [self._encode(cell) for cell in cells]

    def _encode(self, cell: Any) -> np.ndarray | BadCell:
        found = _words(cell)
        if isinstance(found, BadCell):
            return found
        words, places = found
        ids = [self._word(word) for word in words]
        out = np.zeros((len(words), 2 + max(LEADING + 1, *map(len, ids))), np.int32)
        out[:, :2] = places
        for row, own in zip(out[:, 2:], ids, strict=True):
            row[: len(own)] = own
        return out

    def blank(self) -> np.ndarray:
        """One word of which nothing is known."""
        return np.zeros((1, 2 + LEADING + 1), np.int32)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``ids`` (U, T, K), ``look`` (U, T, 3), ``span`` (U, T, 2), ``lengths`` (U,)."""
        table = np.zeros((len(cells), max(map(len, cells)), max(cell.shape[1] for cell in cells)), np.int64)
        for row, cell in zip(table, cells, strict=True):
            row[: cell.shape[0], : cell.shape[1]] = cell
        lengths = np.array([len(cell) for cell in cells], np.int64)
        ids, look = table[..., 2 + LEADING :], table[..., 2 : 2 + LEADING]
        return {"ids": ids, "look": look, "span": table[..., :2], "lengths": lengths}


def _words(cell: Any) -> tuple[list[str], list[tuple[int, int]]] | BadCell:
    """Words that are read as a token each, and their places."""
    listed = listed_words(cell)
    if listed is None:
        text = as_text(cell, UNCUT)
        if isinstance(text, BadCell):
            return text
        places = word_spans(text, sys.maxsize)
        words = [text[start:end] for start, end in places]
    else:
        found = word_places(cell)
        if isinstance(found, BadCell):
            return found
        pairs = [(word, place) for word, place in zip(listed, found, strict=True) if word]
        words, places = [word for word, _ in pairs], [place for _, place in pairs]
    return (words, places) if words else BadCell("no word")
