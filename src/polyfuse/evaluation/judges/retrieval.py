"""Judges how well aligned inputs find each other: recall at 1, 5 and 10, every pair of inputs in both directions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np

from polyfuse.evaluation.judges.common import Resampling, empty_report
from polyfuse.evaluation.outcome import Baseline, Outcome, OutputReport
from polyfuse.metrics.intervals import Measure
from polyfuse.metrics.retrieval import TOP

HEADLINE = ("mean_recall", *(f"recall@{k}" for k in TOP))


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """Mean recall over directions, each at 1, 5 and 10, and of all three; see ``judges.judge``.

    ``scores`` of the outcome holds the rank of each row's query in every direction (rows, X), NaN where it has none;
    ``probabilities`` its weight, the less the more rows share it; ``classes`` the size of each gallery.
    """
    rows = outcome.judged()
    if not len(rows):
        return empty_report(outcome, HEADLINE, HEADLINE)
    found, intervals = Resampling.of(outcome, bootstrap, seed, groups).measured(measure(outcome), len(rows))
    sizes = np.array(outcome.classes or [], dtype=float)
    chance = {f"recall@{k}": float(np.minimum(1, k / sizes).mean()) for k in TOP}
    chance["mean_recall"] = float(np.mean(list(chance.values())))
    return OutputReport(
        task=outcome.task,
        rows=len(rows),
        metrics={name: found.get(name) for name in HEADLINE},
        intervals=intervals,
        headline=HEADLINE,
        baseline=Baseline("chance", dict(chance)),
        severity=np.full(len(outcome.target), np.nan),
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics as functions of weights of the rows; see ``judges.measure``."""
    rows = outcome.judged()
    assert outcome.scores is not None
    assert outcome.probabilities is not None
    return partial(_measure, outcome.scores[rows], outcome.probabilities[rows])


def _measure(rank_NX: np.ndarray, share_NX: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    total_RX = np.maximum(weights @ share_NX, 1e-12)
    found = {f"recall@{k}": (weights @ (share_NX * (rank_NX <= k)) / total_RX).mean(-1) for k in TOP}
    return {"mean_recall": np.mean(list(found.values()), axis=0), **found}
