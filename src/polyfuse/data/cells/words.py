"""Split texts of any script into words and character n-grams, and hash them: the vocabulary of ``text.ngrams``.

A word is a run of letters, digits and their marks; Chinese and Japanese characters, emoji and punctuation stand alone.
Words are cut before they are normalised, so that their places are places in the cell.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from hashlib import blake2b
from itertools import groupby

import numpy as np

LONGEST = 20  # characters of a word; a longer run of letters is cut into several
# Han, kana, and the signs that repeat a character: scripts that write no blanks between words
ALONE = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
# one kind of apostrophe, and no sign of how an emoji is drawn
_PLAIN = str.maketrans({"\u2019": "'", "\ufe0e": None, "\ufe0f": None})


@cache
def _ranges() -> dict[str, str]:
    """Unicode categories as ranges of a regular expression, which cannot name them."""
    found: dict[str, str] = {}
    for category, run in groupby(range(0x20000), lambda code: unicodedata.category(chr(code))):
        codes = [chr(code) for code in run]
        found[category] = found.get(category, "") + f"{re.escape(codes[0])}-{re.escape(codes[-1])}"
    return found


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds the next word, and what finds a character that leaves a trace on paper."""
    marks = "".join(_ranges()[category] for category in ("Mn", "Mc", "Me"))
    invisible = "".join(_ranges()[category] for category in ("Cc", "Cf", "Cs"))
    letter = rf"[^\W{ALONE}]"
    word = rf"{letter}+(?:(?:[{marks}]|['’](?={letter})){letter}*)*"
    return re.compile(rf"[{ALONE}]|{word}|[^\s\w{marks}{invisible}]"), re.compile(rf"[^\s{invisible}]")


def is_visible(text: str) -> bool:
    """False for blanks and control characters alone."""
    return _patterns()[1].search(text) is not None


def word_spans(text: str, most: int) -> list[tuple[int, int]]:
    """Start and end of the first words of a text, ``most`` at most."""
    found: list[tuple[int, int]] = []
    for match in _patterns()[0].finditer(text):
        start, end = match.span()
        while end - start > LONGEST:
            found.append((start, start + LONGEST))
            start += LONGEST
        found.append((start, end))
        if len(found) >= most:
            break
    return found[:most]


def normalize_word(word: str, case: bool) -> str:
    """The word in one spelling: accents, ligatures and widths in their usual form; in lower case unless ``case``."""
    word = unicodedata.normalize("NFKC", word).translate(_PLAIN)
    return word if case else word.casefold()


def character_ngrams(word: str, shortest: int, longest: int) -> list[str]:
    """Its distinct character n-grams, with marks at both ends; a lone character has none."""
    if len(word) < 2:
        return []
    marked = f"<{word}>"
    lengths = range(shortest, min(longest, len(marked) - 1) + 1)
    return list(dict.fromkeys(marked[at : at + n] for n in lengths for at in range(len(marked) - n + 1)))


def hash_name(text: str) -> int:
    """Hash a text to 48 bits, the same on every machine; JSON keeps it exactly."""
    return int.from_bytes(blake2b(text.encode("utf8", "surrogatepass"), digest_size=6).digest(), "little")


def hash_pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """48-bit names (T,) int64 of ordered pairs, mixed as by splitmix64."""
    mixed = first.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ second.astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed >> np.uint64(16)).astype(np.int64)


class Counts:
    """Counts names without keeping every occurrence in memory."""

    def __init__(self) -> None:
        self.names, self.counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._waiting: list[tuple[np.ndarray, int]] = []
        self._size = 0

    def add(self, names: np.ndarray, times: int) -> None:
        """Count each of some names ``times`` times."""
        self._waiting.append((names, times))
        self._size += len(names)
        if self._size > 4_000_000:
            self._merge()

    @property
    def size(self) -> int:
        """Different names so far."""
        self._merge()
        return len(self.names)

    def _merge(self) -> None:
        names = np.concatenate([self.names, *(names for names, _ in self._waiting)])
        times = np.concatenate([self.counts, *(np.full(len(names), times) for names, times in self._waiting)])
        self.names, inverse = np.unique(names, return_inverse=True)
        self.counts = np.bincount(inverse, weights=times, minlength=len(self.names)).astype(np.int64)
        self._waiting, self._size = [], 0

    def most_frequent(self, most: int) -> np.ndarray:
        """The names counted most, in their own order."""
        self._merge()
        return np.sort(self.names[np.lexsort((self.names, -self.counts))[:most]])
