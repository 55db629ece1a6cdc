"""Counts of n-grams of many texts at once, as arrays, so that no metric loops over n-grams in Python.

An n-gram is known by a hash of 64 bits, the same in every process: among a million n-grams two share one with a chance
of three in a hundred million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

PRIME = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Sequences:
    """Texts as rows of token hashes, one after the other.

    Args:
        token_T: hash of every token.
        start_X: where each of X texts begins; one more entry for the end.
    """

    token_T: np.ndarray
    start_X: np.ndarray

    def __len__(self) -> int:
        return len(self.start_X) - 1

    @property
    def lengths_X(self) -> np.ndarray:
        """Tokens of each text."""
        return np.diff(self.start_X)


@dataclass(frozen=True)
class Grams:
    """The distinct n-grams of each text, ordered by text.

    Args:
        text_E, gram_E, count_E: which text has which n-gram how often.
        total_X: n-grams of each text, repeats counted.
    """

    text_E: np.ndarray
    gram_E: np.ndarray
    count_E: np.ndarray
    total_X: np.ndarray


def of_words(texts: Sequence[Sequence[str]]) -> Sequences:
    """Texts of words."""
    known = {word: _hash(word) for word in {word for text in texts for word in text}}
    flat = np.fromiter((known[word] for text in texts for word in text), np.uint64)
    return Sequences(flat, _starts([len(text) for text in texts]))


def of_characters(texts: Sequence[str]) -> Sequences:
    """Texts of characters."""
    flat = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    return Sequences(_mix_bits(flat + np.uint64(1)), _starts([len(text) for text in texts]))


def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf8", "surrogatepass"), digest_size=8).digest(), "little")


def _starts(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def _mix_bits(x: np.ndarray) -> np.ndarray:
    """Every bit of the result depends on every bit given (splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def grams(texts: Sequences, orders: int) -> list[Grams]:
    """The n-grams of every text, for n from 1 to ``orders``."""
    text_T = np.repeat(np.arange(len(texts)), texts.lengths_X)
    end_T = np.repeat(texts.start_X[1:], texts.lengths_X)
    at_T, found = np.arange(len(texts.token_T)), []
    hash_T = texts.token_T
    for n in range(1, orders + 1):
        if n > 1:
            keep = at_T + n <= end_T[at_T]
            hash_T, at_T = hash_T[keep], at_T[keep]
            hash_T = _mix_bits(hash_T * PRIME + texts.token_T[at_T + n - 1])
        found.append(_count(text_T[at_T], hash_T, len(texts)))
    return found


def _count(text_T: np.ndarray, hash_T: np.ndarray, texts: int) -> Grams:
    order = np.argsort(_keys(text_T, hash_T, texts), kind="stable")
    text_T, hash_T = text_T[order], hash_T[order]
    first_T = np.ones(len(hash_T), bool)
    first_T[1:] = (hash_T[1:] != hash_T[:-1]) | (text_T[1:] != text_T[:-1])
    at_E = np.flatnonzero(first_T)
    count_E = np.diff(np.append(at_E, len(hash_T)))
    return Grams(text_T[at_E], hash_T[at_E], count_E, np.bincount(text_T, minlength=texts))


def _keys(text_E: np.ndarray, gram_E: np.ndarray, texts: int) -> np.ndarray:
    """One number per text and n-gram, which orders by text: the text's above the hash's upper bits."""
    bits = np.uint64(max(1, int(texts).bit_length()))
    return (text_E.astype(np.uint64) << (np.uint64(64) - bits)) | (gram_E >> bits)


def look_up(wanted: Grams, text_E: np.ndarray, where: Grams) -> tuple[np.ndarray, np.ndarray]:
    """Where n-grams stand in some other texts.

    Args:
        text_E: the text of ``where`` to look in, for each entry of ``wanted``.

    Returns:
        Position in ``where`` (E,), meaningless where there is none, and whether there is one (E,).
    """
    texts = len(where.total_X)
    there, here = _keys(where.text_E, where.gram_E, texts), _keys(text_E, wanted.gram_E, texts)
    if not len(there):
        return np.zeros(len(here), np.int64), np.zeros(len(here), bool)
    at_E = np.minimum(np.searchsorted(there, here), len(there) - 1)
    return at_E, there[at_E] == here


def flatten_references(references: Sequence[Sequence]) -> tuple[list, np.ndarray]:
    """The references of all rows one after the other, and the row of each."""
    rows = np.repeat(np.arange(len(references)), [len(row) for row in references])
    return [text for row in references for text in row], rows
