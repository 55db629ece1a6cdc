"""CIDEr-D: agreement of a text with several references in what is rare, by tf-idf of n-grams.

Vedantam et al., CIDEr: consensus-based image description evaluation, CVPR 2015. As in the evaluation of COCO captions:
n from 1 to 4, counts clipped to the reference's, a Gaussian penalty of lengths (sigma 6), times 10; document
frequencies come from the references given, so that a score depends on which rows are judged together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyfuse.metrics.text.ngrams import Grams, Sequences, flatten_references, grams, look_up, of_words

ORDERS, SIGMA, SCALE = 4, 6.0, 10.0


@dataclass(frozen=True)
class Frequencies:
    """In how many rows each n-gram of the references occurs.

    Args:
        gram_G: their hashes, rising, for each order.
        log_G: logarithm of the number of rows.
        log_rows: logarithm of the number of all rows.
    """

    gram_G: list[np.ndarray]
    log_G: list[np.ndarray]
    log_rows: float

    @classmethod
    def of(cls, references: list[Grams], row_X: np.ndarray, rows: int) -> Frequencies:
        """From the n-grams of the references and the row of each."""
        found = []
        for order in references:
            row_E = row_X[order.text_E]
            by_gram = np.lexsort((row_E, order.gram_E))
            gram_E, row_E = order.gram_E[by_gram], row_E[by_gram]
            once_E = np.ones(len(gram_E), bool)  # however many references of a row have it
            once_E[1:] = (gram_E[1:] != gram_E[:-1]) | (row_E[1:] != row_E[:-1])
            found.append(np.unique(gram_E[once_E], return_counts=True))
        return cls([gram for gram, _ in found], [np.log(count) for _, count in found], float(np.log(max(1, rows))))

    @classmethod
    def of_words(cls, references: Sequence[Sequence[Sequence[str]]]) -> Frequencies:
        """From the tokens of each of a row's references."""
        every, row_X = flatten_references(references)
        return cls.of(grams(of_words(every), ORDERS), row_X, len(references))

    def inverse(self, gram_E: np.ndarray, n: int) -> np.ndarray:
        """Inverse document frequency (E,) of n-grams; one that no reference has counts as in one row."""
        known = self.gram_G[n]
        if not len(known):
            return np.full(len(gram_E), self.log_rows)
        at_E = np.minimum(np.searchsorted(known, gram_E), len(known) - 1)
        return self.log_rows - np.where(known[at_E] == gram_E, self.log_G[n][at_E], 0.0)


class References:
    """The references of all rows made ready, for any number of texts to be judged by.

    Args:
        references: tokens of each of a row's references, one at least.
        frequencies: of n-grams, where they are not to come from these references.
    """

    def __init__(self, references: Sequence[Sequence[Sequence[str]]], frequencies: Frequencies | None = None):
        every, self.row_X = flatten_references(references)
        self.rows = len(references)
        self.texts: Sequences = of_words(every)
        self.grams = grams(self.texts, ORDERS)
        self.frequencies = frequencies or Frequencies.of(self.grams, self.row_X, self.rows)
        self.vectors = [self._vector(order, n) for n, order in enumerate(self.grams)]

    def _vector(self, order: Grams, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The tf-idf of every n-gram (E,), and the length of each text's vector (X,)."""
        weight_E = order.count_E * self.frequencies.inverse(order.gram_E, n)
        return weight_E, np.sqrt(np.bincount(order.text_E, weight_E**2, minlength=len(order.total_X)))

    def scores(self, texts: Sequence[Sequence[str]]) -> np.ndarray:
        """CIDEr-D of each row (N,), from 0 to 10."""
        written = grams(of_words(texts), ORDERS)
        # the published implementation takes the number of bigrams for the length of a text
        apart_X = written[1].total_X[self.row_X] - self.grams[1].total_X
        total_X = np.zeros(len(self.row_X))
        for n, (mine, theirs) in enumerate(zip(written, self.grams, strict=True)):
            own_E, own_N = self._vector(mine, n)
            their_E, their_X = self.vectors[n]
            at_E, there_E = look_up(theirs, self.row_X[theirs.text_E], mine)
            shared = np.minimum(own_E[at_E[there_E]], their_E[there_E]) * their_E[there_E]
            dot_X = np.bincount(theirs.text_E[there_E], shared, minlength=len(total_X))
            norm_X = own_N[self.row_X] * their_X
            total_X += np.divide(dot_X, norm_X, out=np.zeros(len(dot_X)), where=norm_X > 0)
        total_X *= np.exp(-(apart_X**2) / (2 * SIGMA**2)) / ORDERS
        count_N = np.bincount(self.row_X, minlength=self.rows)
        return SCALE * np.bincount(self.row_X, total_X, minlength=self.rows) / count_N


def cider_d(texts: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
    """CIDEr-D of each row (N,), whose mean is the corpus's; all 0 where there is a single row.

    Args:
        texts: tokens of each row's text.
        references: tokens of each of a row's references, one at least.
    """
    return References(references).scores(texts) if len(texts) else np.zeros(0)
