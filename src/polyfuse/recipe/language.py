"""What a preset must know of the texts of an input: how much there is to read, and whether it is English."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from polyfuse.starter.package_files import StarterError, verified_files
from polyfuse.starter.parts import PARTS

WORD = re.compile(r"[^\W\d_]+")
SAMPLE = 500  # texts that are looked at
# share of words that stand whole in the vocabulary of MiniLM: texts of twenty English tables had .79 to 1, sentences
# in six other languages of Latin script .27 to .55, and those in other scripts next to none
ENGLISH = 0.7
LONGEST = 200  # words of a text that are counted: encoders cut longer ones


@dataclass(frozen=True)
class Texts:
    """The distinct texts of an input.

    Args:
        words: of all of them, at most 200 of each.
        english: whether they are.
    """

    words: int
    english: bool


NO_TEXTS = Texts(0, False)


def texts_of(frame: pd.DataFrame, columns: Iterable[str]) -> Texts:
    """Count the words in the distinct texts of some columns, and tell whether they are English."""
    cells = pd.concat([frame[column] for column in columns]).dropna().drop_duplicates()
    texts = cells[cells.map(lambda cell: isinstance(cell, str))]
    words = (texts.str.count(r"\s+") + 1).clip(upper=LONGEST).sum()
    some = texts.sample(min(SAMPLE, len(texts)), random_state=0)
    return Texts(int(words), english_share(some) >= ENGLISH)


def english_share(texts: Iterable[str]) -> float:
    """The share of words that are in the vocabulary of ``starter:minilm``; 0 without any, or without that part."""
    words = [word for text in texts for word in WORD.findall(text.lower())]
    try:
        vocabulary = set(verified_files(PARTS["minilm"])["vocab.txt"].read_text(encoding="utf8").splitlines())
    except StarterError:
        return 0.0
    return sum(word in vocabulary for word in words) / len(words) if words else 0.0
