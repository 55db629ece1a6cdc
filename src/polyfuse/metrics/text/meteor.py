"""METEOR by exact words and English stems: no synonyms and no paraphrases, so figures lie below those with them.

Banerjee and Lavie, METEOR, ACL workshop 2005, with the weights of Lavie and Agarwal, WMT 2007: recall counts nine times
precision, and matches that lie in many pieces cost up to half.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from polyfuse.metrics.text.stem import stem

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5


def meteor(texts: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
    """METEOR (exact + stem) of each row (N,) with its best reference, over lower-cased tokens."""
    return np.array(
        [
            max(_score(text, reference) for reference in several)
            for text, several in zip(texts, references, strict=True)
        ],
        dtype=float,
    )


def _score(text: Sequence[str], reference: Sequence[str]) -> float:
    pairs = align_words(text, reference)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(text), len(pairs) / len(reference)
    mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    pieces = 1 + sum(b[0] != a[0] + 1 or b[1] != a[1] + 1 for a, b in pairwise(pairs))
    return (1 - GAMMA * (pieces / len(pairs)) ** BETA) * mean


def align_words(text: Sequence[str], reference: Sequence[str]) -> list[tuple[int, int]]:
    """Places of words that are the same, then of those left whose stems are, in the text's order.

    From the end backwards, each word takes the last place that is free, as NLTK aligns.
    """
    pairs, left = _match_words([*enumerate(text)], [*enumerate(reference)])
    stems = ([(place, stem(word)) for place, word in side] for side in left)
    return sorted(pairs + _match_words(*stems)[0])


Placed = list[tuple[int, str]]


def _match_words(words: Placed, others: Placed) -> tuple[list[tuple[int, int]], tuple[Placed, Placed]]:
    free: dict[str, list[int]] = {}
    for place, word in others:
        free.setdefault(word, []).append(place)
    pairs, left = [], []
    for place, word in reversed(words):
        if places := free.get(word):
            pairs.append((place, places.pop()))
        else:
            left.append((place, word))
    taken = {place for _, place in pairs}
    return pairs, (left[::-1], [other for other in others if other[0] not in taken])
