"""Judges an output with one step of an ordered scale per row."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np

from polyfuse.errors import format_count
from polyfuse.evaluation.judges.category import Answers, class_shares, report_of_classes
from polyfuse.evaluation.judges.common import (
    Resampling,
    empty_report,
    encode_labels,
    measure_values,
)
from polyfuse.evaluation.outcome import Baseline, Outcome, OutputReport
from polyfuse.metrics import classification, ordinal
from polyfuse.metrics.intervals import Measure

HEADLINE = ("qwk", "accuracy", "mae_steps", "macro_mae_steps", "ece")
NAMES = ("qwk", "accuracy", "mae_steps", "macro_mae_steps", "log_loss", "ece")


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """Quadratic weighted kappa, accuracy, distance in steps overall and per class; see ``judges.judge``."""
    rows = outcome.judged()
    if not len(rows):
        return empty_report(outcome, NAMES, HEADLINE)
    resampling = Resampling.of(outcome, bootstrap, seed, groups)
    target, predicted, p, classes = _read(outcome, rows)
    found, intervals = resampling.measured(partial(_measure, target, predicted, p, len(classes)), len(rows))
    return report_of_classes(
        outcome,
        rows,
        resampling,
        Answers(target, predicted, p, classes),
        metrics={name: found.get(name) for name in NAMES},
        intervals=intervals,
        headline=HEADLINE,
        baseline=_baseline(target, classes, resampling.weights),
        severity=np.abs(target - predicted),
        notes=_notes(target, predicted, classes),
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics of the judged rows as functions of weights of these rows; see ``judges.measure``."""
    target, predicted, p, classes = _read(outcome, outcome.judged())
    return partial(_measure, target, predicted, p, len(classes))


def _read(outcome: Outcome, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, list]:
    """Codes of target and prediction, probabilities, and the classes in order.

    Raises:
        ValueError: no classes, whose order the labels alone do not say.
    """
    if outcome.classes is None:
        raise ValueError("an ordinal outcome needs its classes, from the lowest to the highest; found none")
    target, predicted = (encode_labels(side, outcome.classes, rows) for side in (outcome.target, outcome.value))
    p = None if outcome.probabilities is None else np.asarray(outcome.probabilities)[rows]
    return target, predicted, p, outcome.classes


def _measure(
    target_N: np.ndarray, predicted_N: np.ndarray, p_NC: np.ndarray | None, classes: int, weights: np.ndarray
) -> dict[str, np.ndarray]:
    found = {
        "qwk": ordinal.quadratic_kappa(target_N, predicted_N, weights),
        "accuracy": classification.accuracy(classification.class_counts(target_N, predicted_N, classes, weights)),
        "mae_steps": ordinal.mean_steps(target_N, predicted_N, weights),
        "macro_mae_steps": ordinal.macro_mean_steps(target_N, predicted_N, classes, weights),
    }
    return found if p_NC is None else found | {"log_loss": classification.log_loss(p_NC, target_N, weights)}


def _baseline(target_N: np.ndarray, classes: list, weights_N: np.ndarray | None) -> Baseline:
    """Always the middle of what is there, which is the fewest steps off, with the class shares as probabilities."""
    shares = class_shares(target_N, len(classes), weights_N)
    middle = int(np.searchsorted(shares.cumsum(), 0.5 - 1e-12))
    constant, p = np.full_like(target_N, middle), np.broadcast_to(shares, (len(target_N), len(classes)))
    found = measure_values(partial(_measure, target_N, constant, p, len(classes)), len(target_N), weights_N)
    return Baseline(f"always {str(classes[middle])!r}", found)


def _notes(target_N: np.ndarray, predicted_N: np.ndarray, classes: list) -> list[str]:
    notes = []
    absent = np.setdiff1d(np.arange(len(classes)), target_N)
    if len(absent):
        shown = ", ".join(str(classes[k]) for k in absent[:10]) + (" and others" if len(absent) > 10 else "")
        notes.append(
            f"{len(absent)} of {len(classes)} classes {'has' if len(absent) == 1 else 'have'} no row here: {shown}."
        )
    if np.ptp(target_N) == 0:
        notes.append("All rows have the same label, so that agreement beyond chance tells nothing.")
    if far := int((np.abs(target_N - predicted_N) > 1).sum()):
        notes.append(f"Off by more than one step: {format_count(far, 'row')} of {len(target_N):,}.")
    return notes
