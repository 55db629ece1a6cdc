"""WER and CER: the fewest words or characters to insert, delete and replace, as a share of the reference's length.

Levenshtein, Binary codes capable of correcting deletions, insertions and reversals, 1966. Of several references the one
counts that the text is nearest to. All pairs of about one length are aligned together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from polyfuse.metrics.text.ngrams import Sequences, flatten_references, of_characters, of_words

CELLS = 2**16  # of alignments that are held at once: they stay in the processor's cache


def word_edits(texts: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
    """Insertions, deletions, replacements and length of the reference, in words, of each row (N, 4).

    Args:
        texts: words of each row's text.
        references: words of each of a row's references, one at least.
    """
    every, row_X = flatten_references(references)
    return _nearest(_edits(of_words(texts), of_words(every), row_X), row_X, len(texts))


def character_edits(texts: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """As ``word_edits``, in characters."""
    every, row_X = flatten_references(references)
    return _nearest(_edits(of_characters(texts), of_characters(every), row_X), row_X, len(texts))


def error_rate(sums: np.ndarray) -> np.ndarray:
    """Edits as a share of the reference's length (...,), from ``word_edits`` or their sums (..., 4).

    May be above 1. Where there is nothing to find, every word is one too many: without any it is 0, else the number of
    words.
    """
    return sums[..., :3].sum(-1) / np.where(sums[..., 3] > 0, sums[..., 3], 1)


def _nearest(edits_X4: np.ndarray, row_X: np.ndarray, rows: int) -> np.ndarray:
    """Of each row the reference with the lowest rate; of equal ones the first."""
    order = np.lexsort((error_rate(edits_X4), row_X))
    return edits_X4[order[np.searchsorted(row_X, np.arange(rows))]]


def _edits(texts: Sequences, references: Sequences, row_X: np.ndarray) -> np.ndarray:
    length_X, written_X = references.lengths_X, texts.lengths_X[row_X]
    found = np.zeros((len(row_X), 4), np.int64)
    found[:, 3] = length_X
    for some in _batches_by_length(length_X, written_X):
        said_IC, text_JC = _pad(references, some), _pad(texts, row_X[some])
        distance, replaced = _edit_distances(said_IC, length_X[some], text_JC, written_X[some])
        surplus = written_X[some] - length_X[some]  # insertions less deletions
        rest = distance - replaced
        found[some, 0], found[some, 1], found[some, 2] = (rest + surplus) // 2, (rest - surplus) // 2, replaced
    return found


def _batches_by_length(length_X: np.ndarray, written_X: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers of pairs, those of about one length together, few enough to hold."""
    order = np.lexsort((length_X, written_X))
    begin = 0
    while begin < len(order):
        many = max(1, CELLS // (int(written_X[order[begin]]) + 8))
        some = order[begin : begin + many]
        longest = int(written_X[order[begin]]) * 2 + 8  # not much padding
        some = some[: max(1, int(np.searchsorted(written_X[some], longest, "right")))]
        begin += len(some)
        yield some


def _pad(texts: Sequences, at_C: np.ndarray) -> np.ndarray:
    """Tokens (longest, C), anything behind their ends."""
    length = int(texts.lengths_X[at_C].max(initial=0))
    if not length:
        return np.zeros((0, len(at_C)), np.uint64)
    place_LC = texts.start_X[at_C] + np.arange(length)[:, None]
    return texts.token_T[np.minimum(place_LC, len(texts.token_T) - 1)]


def _edit_distances(
    said_IC: np.ndarray, length_C: np.ndarray, text_JC: np.ndarray, written_C: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fewest edits (C,), and the replacements among them (C,): of the shortest alignments, one with most words right.

    An edit costs more than all replacements together, by whose number alignments of one cost are ordered. What is
    held is the cost less that of inserting all words so far, so that an insertion changes nothing.
    """
    edit = min(len(said_IC), len(text_JC)) + 1
    kind = np.int32 if edit * (len(said_IC) + len(text_JC) + 2) < 2**31 else np.int64
    row_JC = np.zeros((len(text_JC) + 1, len(length_C)), kind)
    ends_C, every_C = np.zeros(len(length_C), np.int64), np.arange(len(length_C))
    for i, said_C in enumerate(said_IC):
        better_JC = np.multiply(text_JC == said_C, -edit - 1, dtype=kind)
        better_JC += row_JC[:-1]
        better_JC += 1
        row_JC += edit
        np.minimum(row_JC[1:], better_JC, out=row_JC[1:])
        np.minimum.accumulate(row_JC, axis=0, out=row_JC)
        done = np.flatnonzero(length_C == i + 1)
        ends_C[done] = row_JC[written_C[done], every_C[done]]
    ends_C += written_C * edit
    return ends_C // edit, ends_C % edit
