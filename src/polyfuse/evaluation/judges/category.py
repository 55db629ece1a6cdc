"""Judges an output with one label per row."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np

from polyfuse.evaluation.glossary import counted, written
from polyfuse.evaluation.judges.common import (
    Resampling,
    Values,
    coded,
    finite,
    nothing_to_judge,
    opening_notes,
    spread,
    values,
)
from polyfuse.evaluation.outcome import Baseline, Confusion, Outcome, OutputReport
from polyfuse.metrics import classification as metrics
from polyfuse.metrics.calibration import calibration_error, reliability_bins
from polyfuse.metrics.intervals import Interval, Measure

HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
NAMES = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "log_loss", "brier", "auroc", "ece")


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """Accuracy, F1, log loss, AUROC, calibration, per-class report and confusion matrix; see ``judges.judge``."""
    rows = outcome.judged()
    if not len(rows):
        return nothing_to_judge(outcome, NAMES, HEADLINE)
    resampling = Resampling.of(outcome, bootstrap, seed, groups)
    classes = outcome.classes if outcome.classes is not None else _observed(outcome, rows)
    target, predicted = (coded(side, classes, rows) for side in (outcome.target, outcome.value))
    p = None if outcome.probabilities is None else np.asarray(outcome.probabilities)[rows]
    found, intervals = _measured(target, predicted, p, len(classes), resampling)
    right = target == predicted
    confidence = np.ones(len(rows)) if p is None else p[np.arange(len(rows)), predicted].astype(float)
    counts = metrics.class_counts(target, predicted, len(classes), resampling.weights)
    return OutputReport(
        task=outcome.task,
        rows=len(rows),
        metrics={name: found.get(name) for name in NAMES}
        | ({} if p is None else {"ece": finite(calibration_error(confidence, right, resampling.weights))}),
        intervals=intervals,
        headline=HEADLINE,
        baseline=_baseline(target, classes, resampling.weights),
        severity=spread(~right * np.maximum(confidence, 1e-9), rows, len(outcome.target)),
        confidence=None if p is None else spread(confidence, rows, len(outcome.target)),
        per_class=per_class(counts, classes, np.bincount(target, minlength=len(classes))),
        confusion=Confusion(classes, metrics.confusion_matrix(target, predicted, len(classes))),
        reliability=[] if p is None else reliability_bins(confidence, right),
        notes=opening_notes(outcome, rows, resampling) + _notes(target, predicted, classes, p, groups),
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics of the judged rows as functions of weights of these rows; see ``judges.measure``."""
    rows = outcome.judged()
    classes = outcome.classes if outcome.classes is not None else _observed(outcome, rows)
    target, predicted = (coded(side, classes, rows) for side in (outcome.target, outcome.value))
    p = None if outcome.probabilities is None else np.asarray(outcome.probabilities)[rows]
    return partial(_measure, target, predicted, p, len(classes))


def _observed(outcome: Outcome, rows: np.ndarray) -> list:
    labels = {outcome.target[row] for row in rows} | {outcome.value[row] for row in rows}
    return sorted(labels, key=lambda label: (str(type(label)), label))


def _measure(
    target_N: np.ndarray, predicted_N: np.ndarray, p_NC: np.ndarray | None, classes: int, weights: np.ndarray
) -> dict[str, np.ndarray]:
    counts = metrics.class_counts(target_N, predicted_N, classes, weights)
    names = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
    found = {name: getattr(metrics, name)(counts) for name in names}
    if p_NC is None:
        return found
    return found | {name: getattr(metrics, name)(p_NC, target_N, weights) for name in ("log_loss", "brier")}


def _measured(
    target_N: np.ndarray, predicted_N: np.ndarray, p_NC: np.ndarray | None, classes: int, resampling: Resampling
) -> tuple[Values, dict[str, Interval]]:
    rows = len(target_N)
    found, intervals = resampling.measured(partial(_measure, target_N, predicted_N, p_NC, classes), rows)
    if p_NC is None:
        return found, intervals
    # one pass per class; the two of a binary label would give the same
    ranked = resampling.measured(partial(_auroc, p_NC, target_N), rows, work=1 if classes == 2 else classes)
    return found | ranked[0], intervals | ranked[1]


def _auroc(p_NC: np.ndarray, target_N: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    if p_NC.shape[1] == 2:
        return {"auroc": metrics.auroc(p_NC[:, 1], target_N == 1, weights)}
    return {"auroc": metrics.macro_auroc(p_NC, target_N, weights)}


def _baseline(target_N: np.ndarray, classes: list, weights_N: np.ndarray | None) -> Baseline:
    """Always the most frequent class, with the class shares as probabilities."""
    shares = class_shares(target_N, len(classes), weights_N)
    constant, p = np.full_like(target_N, shares.argmax()), np.broadcast_to(shares, (len(target_N), len(classes)))
    found = values(partial(_measure, target_N, constant, p, len(classes)), len(target_N), weights_N)
    if np.count_nonzero(shares) > 1:
        found["auroc"] = 0.5  # whatever the classes, a score that tells nothing
    return Baseline(f"always {str(classes[shares.argmax()])!r}", found)


def class_shares(target_N: np.ndarray, classes: int, weights_N: np.ndarray | None) -> np.ndarray:
    """Share of each class (C,), by weight where rows have one."""
    counts_C = np.bincount(target_N, weights_N, minlength=classes)
    return counts_C / max(counts_C.sum(), 1e-12)


def per_class(counts: metrics.ClassCounts, classes: list, rows_C: np.ndarray) -> list[dict[str, Any]]:
    """Precision, recall, F1 and number of rows of each class."""
    columns = zip(classes, metrics.precision(counts), metrics.recall(counts), metrics.f1(counts), strict=True)
    return [
        {"class": label, "precision": finite(p), "recall": finite(r), "f1": finite(f), "support": int(support)}
        for (label, p, r, f), support in zip(columns, rows_C, strict=True)
    ]


def _notes(
    target_N: np.ndarray, predicted_N: np.ndarray, classes: list, p_NC: np.ndarray | None, groups: Any
) -> list[str]:
    notes, rows, rows_C = [], len(target_N), np.bincount(target_N, minlength=len(classes))
    absent = [str(label) for label, support in zip(classes, rows_C, strict=True) if not support]
    if absent:
        shown = ", ".join(absent[:10]) + (" and others" if len(absent) > 10 else "")
        notes.append(f"{len(absent)} of {len(classes)} classes have no row here: {shown}.")
    if p_NC is None:
        notes.append("Without probabilities there is no log loss, Brier score, AUROC or calibration.")
    elif np.count_nonzero(rows_C) < 2:
        notes.append("All rows have the same label, so AUROC is undefined and accuracy tells little.")
    if (target_N == predicted_N).all() and groups is None:
        # the bootstrap interval is a point then; 0.05 = (1 - error)^rows gives error = 3 / rows
        error = written("accuracy", min(1.0, 3 / rows))
        notes.append(f"No mistake in {counted(rows, 'row')}: the true error may still be up to {error}.")
    return notes
