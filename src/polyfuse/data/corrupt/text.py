"""Corruptions of texts, in any script: typing errors (Belinkov and Bisk, ICLR 2018) and lost words.

A Latin letter becomes its neighbour on the keyboard, any other character one that Unicode lists near it and of the same
kind: a Chinese character of much the same radical, another emoji. Marks and joined emoji stay with their character.
"""

# ruff: noqa: ARG001 - every corruption has the same four arguments, and each uses some

from __future__ import annotations

import sys
import unicodedata
from typing import Any

import numpy as np

from polyfuse.data.cells.source import BadCell, Limits
from polyfuse.data.cells.text import as_text
from polyfuse.data.cells.word_lists import listed_words
from polyfuse.data.cells.words import word_spans

MOST_TYPOS = 0.5  # of the characters
_UNCUT = Limits(characters=sys.maxsize)  # the transform cuts afterwards
_SWAP, _DELETE, _INSERT, _REPLACE = range(4)
_KEYBOARD = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_JOINER = "\u200d"


def typos(cell: Any, severity: float, rng: np.random.Generator, transform: Any = None) -> Any:
    """Characters swapped with the next, deleted, inserted or replaced; blanks stay, so words stay apart.

    A list of words stays one, of as many words.
    """
    if (words := listed_words(cell)) is not None:
        return [_mistyped(word, severity, rng) if word.strip() else word for word in words]
    text = as_text(cell, _UNCUT)
    if isinstance(text, BadCell):
        return cell
    return _mistyped(text, severity, rng)


def _mistyped(text: str, severity: float, rng: np.random.Generator) -> str:
    letters = _characters(text)
    chance, kinds, drawn = rng.random(len(letters)), rng.integers(4, size=len(letters)), rng.random(len(letters))
    hit = (chance < severity * MOST_TYPOS) & np.array([not letter.isspace() for letter in letters])
    out: list[str] = []
    swapped = False
    for at, letter in enumerate(letters):
        if swapped:
            swapped = False
        elif not hit[at]:
            out.append(letter)
        elif kinds[at] == _SWAP and at + 1 < len(letters) and not letters[at + 1].isspace():
            out += [letters[at + 1], letter]
            swapped = True
        else:
            out += _mistype(letter, int(kinds[at]), float(drawn[at]))
    return "".join(out)


def _mistype(letter: str, kind: int, drawn: float) -> list[str]:
    if kind == _INSERT:
        return [letter, _nearby_character(letter, drawn)]
    return [] if kind == _DELETE else [_nearby_character(letter, drawn)]  # a last letter has none to swap with


def _characters(text: str) -> list[str]:
    """Split a text into grapheme clusters, what a reader sees as one character each."""
    found: list[str] = []
    for char in text:
        if found and (_is_combining(char) or found[-1].endswith(_JOINER)):
            found[-1] += char
        else:
            found.append(char)
    return found


def _is_combining(char: str) -> bool:
    """Marks, joiners and skin tones belong to the character before."""
    return char == _JOINER or "\U0001f3fb" <= char <= "\U0001f3ff" or unicodedata.category(char)[0] == "M"


def _neighbours() -> dict[str, str]:
    """Key -> the keys around it."""
    found = {}
    for y, row in enumerate(_KEYBOARD):
        for x, key in enumerate(row):
            around = [(y, x - 1), (y, x + 1), (y - 1, x), (y - 1, x + 1), (y + 1, x - 1), (y + 1, x)]
            inside = [(v, u) for v, u in around if 0 <= v < len(_KEYBOARD) and 0 <= u < len(_KEYBOARD[v])]
            found[key] = "".join(_KEYBOARD[v][u] for v, u in inside if _KEYBOARD[v][u].isdigit() == key.isdigit())
    return found


_KEYS = _neighbours()


def _nearby_character(letter: str, drawn: float) -> str:
    """Another character that could stand there by mistake; ``drawn`` from 0 to 1 chooses."""
    first = letter[0]
    if keys := _KEYS.get(first.lower()):
        key = keys[int(drawn * len(keys))]
        return key.upper() if first.isupper() else key
    step, kind = 1 + int(drawn * 8), unicodedata.category(first)
    for code in (ord(first) + step, ord(first) - step, ord(first) + 1, ord(first) - 1):
        if 0 < code <= sys.maxunicode and unicodedata.category(chr(code)) == kind:
            return chr(code)
    return letter


def word_drop(cell: Any, severity: float, rng: np.random.Generator, transform: Any = None) -> Any:
    """Drop words, each with the blank behind it; Chinese and Japanese characters and punctuation count as words.

    A list of words stays as long: nothing stands in the place of those that are lost.
    """
    if (listed := listed_words(cell)) is not None:
        left = ["" if chance < severity else word for word, chance in zip(listed, rng.random(len(listed)), strict=True)]
        return left if any(left) else ""
    text = as_text(cell, _UNCUT)
    if isinstance(text, BadCell):
        return cell
    words = word_spans(text, len(text))
    kept, start = [], 0
    for (first, last), chance in zip(words, rng.random(len(words)), strict=True):
        if chance < severity:
            kept.append(text[start:first])
            start = last + text[last : last + 1].isspace()
    return "".join([*kept, text[start:]])
