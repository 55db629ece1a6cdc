"""BLEU: how many of a text's n-grams stand in a reference, with a penalty for short texts, over a whole corpus.

Papineni et al., BLEU: a method for automatic evaluation of machine translation, ACL 2002. A row's statistics are the
n-grams found, the n-grams written (for n = 1 to 4 each), and the lengths of the text and of its nearest reference;
their sums give the metric, as sacreBLEU (smoothing ``exp``) or as the evaluation of COCO captions counts it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyfuse.metrics.text.ngrams import flatten_references, grams, look_up, of_words

ORDERS = 4
TINY, SMALL = 1e-15, 1e-9  # of the evaluation of COCO captions


def statistics(texts: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
    """What BLEU needs of each row (N, 10): found and written n-grams, length, length of the nearest reference.

    Args:
        texts: tokens of each row's text.
        references: tokens of each of a row's references, one at least.
    """
    every, row_X = flatten_references(references)
    written, said = of_words(texts), of_words(every)
    found = np.zeros((len(texts), 2 * ORDERS + 2))
    for n, (mine, theirs) in enumerate(zip(grams(written, ORDERS), grams(said, ORDERS), strict=True)):
        at_E, there_E = look_up(theirs, row_X[theirs.text_E], mine)
        most = np.zeros(len(mine.count_E), np.int64)  # of each n-gram of a text, in any one reference
        np.maximum.at(most, at_E[there_E], theirs.count_E[there_E])
        found[:, n] = np.bincount(mine.text_E, np.minimum(most, mine.count_E), minlength=len(texts))
        found[:, ORDERS + n] = mine.total_X
    found[:, -2] = written.lengths_X
    found[:, -1] = _nearest(written.lengths_X, said.lengths_X, row_X)
    return found


def _nearest(length_N: np.ndarray, length_X: np.ndarray, row_X: np.ndarray) -> np.ndarray:
    """The length of the reference whose length is nearest, the shorter of two."""
    order = np.lexsort((length_X, np.abs(length_X - length_N[row_X]), row_X))
    first = np.searchsorted(row_X[order], np.arange(len(length_N)))
    return length_X[order][first]


def caption_bleu(sums: np.ndarray) -> list[np.ndarray]:
    """BLEU-1 to BLEU-4 as for COCO captions, each (R,), from sums of statistics (R, 10)."""
    right, written = sums[..., :ORDERS], sums[..., ORDERS : 2 * ORDERS]
    logs = np.cumsum(np.log((right + TINY) / (written + SMALL)), -1) / np.arange(1, ORDERS + 1)
    penalty = _penalty((sums[..., -2] + TINY) / (sums[..., -1] + SMALL))
    return [np.exp(logs[..., n]) * penalty for n in range(ORDERS)]


def corpus_bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU as sacreBLEU counts it (R,), from 0 to 1, from sums of statistics (R, 10) over its tokens."""
    right, written = sums[..., :ORDERS], sums[..., ORDERS : 2 * ORDERS]
    # an order without any match counts 1/2, 1/4, ... of one n-gram, as mteval does
    lacking = (right == 0) & (written > 0)
    smoothed = np.where(lacking, 0.5 ** np.cumsum(lacking, -1), right)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(smoothed / written).mean(-1)
    complete = (written > 0).all(-1) & (right > 0).any(-1)  # without 4-grams there is no BLEU
    penalty = _penalty(sums[..., -2] / np.maximum(sums[..., -1], 1e-300))
    return np.where(complete, np.exp(np.where(complete, logs, 0)) * penalty, 0.0)


def _penalty(ratio: np.ndarray) -> np.ndarray:
    """Below 1 where texts are shorter than references."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(ratio < 1, np.exp(1 - 1 / np.maximum(ratio, 1e-300)), 1.0)
