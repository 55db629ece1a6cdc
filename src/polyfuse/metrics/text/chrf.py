"""chrF: balance of precision and recall of character n-grams, which needs no words and hence no tokens.

Popović, chrF: character n-gram F-score for automatic MT evaluation, WMT 2015, as sacreBLEU counts it: n from 1 to 6,
recall counts twice, white space left out, of several references the one that fits best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyfuse.metrics.text.ngrams import Grams, flatten_references, grams, look_up, of_characters

ORDERS, BETA = 6, 2.0


class References:
    """The references of all rows made ready, for any number of texts to be judged by.

    Args:
        references: each of a row's references, one at least.
    """

    def __init__(self, references: Sequence[Sequence[str]]):
        every, self.row_X = flatten_references(references)
        self.rows = len(references)
        self.grams: list[Grams] = grams(of_characters([_squeezed(text) for text in every]), ORDERS)

    def statistics(self, texts: Sequence[str]) -> np.ndarray:
        """What chrF needs of each row (N, 18): n-grams written, n-grams of the reference, n-grams found."""
        mine = grams(of_characters([_squeezed(text) for text in texts]), ORDERS)
        found = np.zeros((len(self.row_X), 3, ORDERS))
        for n, (own, theirs) in enumerate(zip(mine, self.grams, strict=True)):
            at_E, there_E = look_up(theirs, self.row_X[theirs.text_E], own)
            shared = np.minimum(own.count_E[at_E[there_E]], theirs.count_E[there_E])
            found[:, 2, n] = np.bincount(theirs.text_E[there_E], shared, minlength=len(found))
            found[:, 1, n] = theirs.total_X
            found[:, 0, n] = own.total_X[self.row_X] * (theirs.total_X > 0)
        flat_X = found.reshape(len(found), 3 * ORDERS)
        best = np.lexsort((-chrf(flat_X), self.row_X))  # stable: of equal ones the first
        return flat_X[best[np.searchsorted(self.row_X, np.arange(self.rows))]]


def _squeezed(text: str) -> str:
    return "".join(text.split())


def statistics(texts: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """What chrF needs of each row (N, 18); ``chrf`` of their sums is that of the corpus."""
    return References(references).statistics(texts) if len(texts) else np.zeros((0, 3 * ORDERS))


def chrf(sums: np.ndarray) -> np.ndarray:
    """chrF2 (...,), from 0 to 1, from statistics or their sums (..., 18)."""
    written, said, found = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, ORDERS), -2, 0)
    both = (written > 0) & (said > 0)
    orders = np.maximum(both.sum(-1), 1)
    precision = np.divide(found, written, out=np.zeros_like(found, float), where=both).sum(-1) / orders
    recall = np.divide(found, said, out=np.zeros_like(found, float), where=both).sum(-1) / orders
    bottom = BETA**2 * precision + recall
    return np.divide((1 + BETA**2) * precision * recall, bottom, out=np.zeros_like(bottom), where=bottom > 0)
