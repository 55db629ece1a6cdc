"""Precision, recall and F1 of spans of words as ``conlleval`` and seqeval's default count them, and token accuracy.

Tjong Kim Sang and De Meulder, CoNLL-2003. A span is right when its words and its label are. As in seqeval, a ratio of
nothing is 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from polyfuse.metrics.weighted import ratio

Place = tuple[Hashable, Hashable, str]
"""Start, end and label of a span."""


@dataclass(frozen=True)
class SpanCounts:
    """Spans of each sentence by label, (N, L): those that are right, those that were said, and those that are true."""

    labels: list[str]
    right_NL: np.ndarray
    said_NL: np.ndarray
    true_NL: np.ndarray


def count_spans(true: Sequence[Iterable[Place]], said: Sequence[Iterable[Place]]) -> SpanCounts:
    """Count the spans of every sentence by label."""
    pairs = [(set(t), set(s)) for t, s in zip(true, said, strict=True)]
    labels = sorted({label for sides in pairs for side in sides for _, _, label in side})
    place = {label: n for n, label in enumerate(labels)}
    counts = np.zeros((3, len(pairs), len(labels)))
    for row, (t, s) in enumerate(pairs):
        for kind, spans in enumerate((t & s, s, t)):
            for label, times in Counter(label for _, _, label in spans).items():
                counts[kind, row, place[label]] = times
    return SpanCounts(labels, *counts)


def span_metrics(counts: SpanCounts, weights: np.ndarray, what: str = "span") -> dict[str, np.ndarray]:
    """Micro, macro and weighted precision, recall and F1 of spans under weights of sentences (..., N).

    A label that no span of the sentences has counts in no mean.

    Args:
        what: is counted; names of metrics begin with it.
    """
    right, said, true = (weights @ side for side in (counts.right_NL, counts.said_NL, counts.true_NL))
    found = {}
    for name, top, below in (("precision", right, said), ("recall", right, true), ("f1", 2 * right, said + true)):
        each = _or_zero(top, below)
        there = (said + true) > 0
        found[f"{what}_{name}"] = _or_zero(top.sum(-1), below.sum(-1))
        found[f"{what}_macro_{name}"] = ratio((each * there).sum(-1), there.sum(-1))
        found[f"{what}_weighted_{name}"] = _or_zero((each * true).sum(-1), true.sum(-1))
    return found


def span_report(counts: SpanCounts, weights: np.ndarray | None = None) -> list[dict[str, float | str | int]]:
    """Precision, recall, F1 and number of true spans of each label."""
    weights = np.ones(len(counts.true_NL)) if weights is None else weights
    right, said, true = (weights @ side for side in (counts.right_NL, counts.said_NL, counts.true_NL))
    columns = (_or_zero(right, said), _or_zero(right, true), _or_zero(2 * right, said + true), counts.true_NL.sum(0))
    return [
        {"class": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for label, p, r, f, n in zip(counts.labels, *columns, strict=True)
    ]


def count_tokens(true: Sequence[Sequence[Hashable]], said: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """Words of each sentence that are right, and words (N, 2)."""
    pairs = zip(true, said, strict=True)
    return np.array([(sum(map(_same, t, s)), len(t)) for t, s in pairs], float).reshape(-1, 2)


def token_accuracy(counts_N2: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of words that are right under weights of sentences (..., N)."""
    right_and_all = weights @ counts_N2
    return ratio(right_and_all[..., 0], right_and_all[..., 1])


def _same(one: Hashable, other: Hashable) -> bool:
    return one == other


def _or_zero(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """``top / bottom``, 0 where that is nothing of nothing."""
    return np.nan_to_num(ratio(top, bottom), nan=0.0)
