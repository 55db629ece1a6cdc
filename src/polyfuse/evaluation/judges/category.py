"""Judges an output with one label per row."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from polyfuse.errors import format_count
from polyfuse.evaluation.glossary import format_value
from polyfuse.evaluation.judges.common import (
    Resampling,
    Values,
    common_notes,
    empty_report,
    encode_labels,
    finite_or_none,
    measure_values,
    spread_over_rows,
)
from polyfuse.evaluation.outcome import Baseline, Confusion, Outcome, OutputReport
from polyfuse.metrics import classification
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
        return empty_report(outcome, NAMES, HEADLINE)
    resampling = Resampling.of(outcome, bootstrap, seed, groups)
    classes = outcome.classes if outcome.classes is not None else _observed(outcome, rows)
    target, predicted = (encode_labels(side, classes, rows) for side in (outcome.target, outcome.value))
    p = None if outcome.probabilities is None else np.asarray(outcome.probabilities)[rows]
    found, intervals = _measured(target, predicted, p, len(classes), resampling)
    return report_of_classes(
        outcome,
        rows,
        resampling,
        Answers(target, predicted, p, classes),
        metrics={name: found.get(name) for name in NAMES},
        intervals=intervals,
        headline=HEADLINE,
        baseline=_baseline(target, classes, resampling.weights),
        notes=_notes(target, predicted, classes, p, groups),
    )


@dataclass(frozen=True)
class Answers:
    """Of each judged row: codes of its class and of the answer, (N,), and probabilities (N, C) of the classes."""

    target: np.ndarray
    predicted: np.ndarray
    p: np.ndarray | None
    classes: list

    @property
    def confidence(self) -> np.ndarray:
        """Probability of each answer, 1 where none is known."""
        rows = np.arange(len(self.target))
        return np.ones(len(rows)) if self.p is None else self.p[rows, self.predicted].astype(float)


def report_of_classes(
    outcome: Outcome,
    rows: np.ndarray,
    resampling: Resampling,
    answers: Answers,
    *,
    metrics: Mapping[str, float | None],
    intervals: dict[str, Interval],
    headline: tuple[str, ...],
    baseline: Baseline,
    notes: list[str],
    severity: np.ndarray | None = None,
) -> OutputReport:
    """The report of an output with one class per row: calibration, per-class figures and confusion beside metrics.

    Args:
        severity: how wrong each judged row is; by default the confidence in what is wrong.
    """
    target, predicted, classes, p = answers.target, answers.predicted, answers.classes, answers.p
    right, confidence = target == predicted, answers.confidence
    counts = classification.class_counts(target, predicted, len(classes), resampling.weights)
    calibration = {} if p is None else {"ece": finite_or_none(calibration_error(confidence, right, resampling.weights))}
    severity = ~right * np.maximum(confidence, 1e-9) if severity is None else severity
    return OutputReport(
        task=outcome.task,
        rows=len(rows),
        metrics={**metrics, **calibration},
        intervals=intervals,
        headline=headline,
        baseline=baseline,
        severity=spread_over_rows(severity, rows, len(outcome.target)),
        confidence=None if p is None else spread_over_rows(confidence, rows, len(outcome.target)),
        per_class=per_class(counts, classes, np.bincount(target, minlength=len(classes))),
        confusion=Confusion(classes, classification.confusion_matrix(target, predicted, len(classes))),
        reliability=[] if p is None else reliability_bins(confidence, right),
        notes=common_notes(outcome, rows, resampling) + notes,
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics of the judged rows as functions of weights of these rows; see ``judges.measure``."""
    rows = outcome.judged()
    classes = outcome.classes if outcome.classes is not None else _observed(outcome, rows)
    target, predicted = (encode_labels(side, classes, rows) for side in (outcome.target, outcome.value))
    p = None if outcome.probabilities is None else np.asarray(outcome.probabilities)[rows]
    return partial(_measure, target, predicted, p, len(classes))


def _observed(outcome: Outcome, rows: np.ndarray) -> list:
    labels = {outcome.target[row] for row in rows} | {outcome.value[row] for row in rows}
    return sorted(labels, key=lambda label: (str(type(label)), label))


def _measure(
    target_N: np.ndarray, predicted_N: np.ndarray, p_NC: np.ndarray | None, classes: int, weights: np.ndarray
) -> dict[str, np.ndarray]:
    counts = classification.class_counts(target_N, predicted_N, classes, weights)
    names = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1")
    found = {name: getattr(classification, name)(counts) for name in names}
    if p_NC is None:
        return found
    return found | {name: getattr(classification, name)(p_NC, target_N, weights) for name in ("log_loss", "brier")}


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
        return {"auroc": classification.auroc(p_NC[:, 1], target_N == 1, weights)}
    return {"auroc": classification.macro_auroc(p_NC, target_N, weights)}


def _baseline(target_N: np.ndarray, classes: list, weights_N: np.ndarray | None) -> Baseline:
    """Always the most frequent class, with the class shares as probabilities."""
    shares = class_shares(target_N, len(classes), weights_N)
    constant, p = np.full_like(target_N, shares.argmax()), np.broadcast_to(shares, (len(target_N), len(classes)))
    found = measure_values(partial(_measure, target_N, constant, p, len(classes)), len(target_N), weights_N)
    if np.count_nonzero(shares) > 1:
        found["auroc"] = 0.5  # whatever the classes, a score that tells nothing
    return Baseline(f"always {str(classes[shares.argmax()])!r}", found)


def class_shares(target_N: np.ndarray, classes: int, weights_N: np.ndarray | None) -> np.ndarray:
    """Share of each class (C,), by weight where rows have one."""
    counts_C = np.bincount(target_N, weights_N, minlength=classes)
    return counts_C / max(counts_C.sum(), 1e-12)


def per_class(counts: classification.ClassCounts, classes: list, rows_C: np.ndarray) -> list[dict[str, Any]]:
    """Precision, recall, F1 and number of rows of each class."""
    columns = zip(
        classes, classification.precision(counts), classification.recall(counts), classification.f1(counts), strict=True
    )
    return [
        {
            "class": label,
            "precision": finite_or_none(p),
            "recall": finite_or_none(r),
            "f1": finite_or_none(f),
            "support": int(support),
        }
        for (label, p, r, f), support in zip(columns, rows_C, strict=True)
    ]


def _notes(
    target_N: np.ndarray, predicted_N: np.ndarray, classes: list, p_NC: np.ndarray | None, groups: Any
) -> list[str]:
    notes, rows, rows_C = [], len(target_N), np.bincount(target_N, minlength=len(classes))
    absent = [str(label) for label, support in zip(classes, rows_C, strict=True) if not support]
    if absent:
        shown = ", ".join(absent[:10]) + (" and others" if len(absent) > 10 else "")
        notes.append(
            f"{len(absent)} of {len(classes)} classes {'has' if len(absent) == 1 else 'have'} no row here: {shown}."
        )
    if p_NC is None:
        notes.append("Without probabilities there is no log loss, Brier score, AUROC or calibration.")
    elif np.count_nonzero(rows_C) < 2:
        notes.append("All rows have the same label, so AUROC is undefined and accuracy tells little.")
    if (target_N == predicted_N).all() and groups is None:
        # the bootstrap interval is a point then; 0.05 = (1 - error)^rows gives error = 3 / rows
        error = format_value("accuracy", min(1.0, 3 / rows))
        notes.append(f"No mistake in {format_count(rows, 'row')}: the true error may still be up to {error}.")
    return notes
