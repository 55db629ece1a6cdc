"""Judges an output with several labels per row."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np

from polyfuse.evaluation.judges.category import per_class
from polyfuse.evaluation.judges.common import (
    Resampling,
    Values,
    common_notes,
    empty_report,
    encode_label,
    finite_or_none,
    measure_values,
    spread_over_rows,
)
from polyfuse.evaluation.outcome import Baseline, Outcome, OutputReport
from polyfuse.metrics import multilabel as metrics
from polyfuse.metrics.calibration import calibration_error, reliability_bins
from polyfuse.metrics.classification import macro_f1
from polyfuse.metrics.intervals import Interval, Measure

NAMES = HEADLINE = ("micro_f1", "macro_f1", "exact_match", "map", "ece")


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """F1 over all labels and per label, exact match, mean average precision; see ``judges.judge``."""
    rows = outcome.judged()
    if not len(rows):
        return empty_report(outcome, NAMES, HEADLINE)
    resampling = Resampling.of(outcome, bootstrap, seed, groups)
    classes = outcome.classes if outcome.classes is not None else _observed(outcome, rows)
    target, predicted = (_matrix(side, classes, rows) for side in (outcome.target, outcome.value))
    p = None if outcome.probabilities is None else np.asarray(outcome.probabilities, dtype=float)[rows]
    found, intervals = _measured(target, predicted, p, resampling)
    each = None if resampling.weights is None else np.repeat(resampling.weights, len(classes))
    return OutputReport(
        task=outcome.task,
        rows=len(rows),
        metrics={name: found.get(name) for name in NAMES}
        | ({} if p is None else {"ece": finite_or_none(calibration_error(p.ravel(), target.ravel(), each))}),
        intervals=intervals,
        headline=HEADLINE,
        baseline=_baseline(target, classes, resampling.weights),
        severity=spread_over_rows((target != predicted).sum(-1), rows, len(outcome.target)),
        per_class=_per_label(target, predicted, p, classes, resampling.weights),
        reliability=[] if p is None else reliability_bins(p.ravel(), target.ravel()),
        notes=common_notes(outcome, rows, resampling) + _notes(target, classes, p),
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics of the judged rows as functions of weights of these rows; see ``judges.measure``."""
    rows = outcome.judged()
    classes = outcome.classes if outcome.classes is not None else _observed(outcome, rows)
    return partial(_measure, *(_matrix(side, classes, rows) for side in (outcome.target, outcome.value)))


def _observed(outcome: Outcome, rows: np.ndarray) -> list:
    return sorted({label for row in rows for label in (*outcome.target[row], *outcome.value[row])}, key=str)


def _matrix(labels: list, classes: list, rows: np.ndarray) -> np.ndarray:
    """Labels per row -> booleans (rows, C)."""
    codes = {label: code for code, label in enumerate(classes)}
    matrix = np.zeros((len(rows), len(classes)), dtype=bool)
    for position, row in enumerate(rows):
        matrix[position, [encode_label(label, codes, row) for label in labels[row]]] = True
    return matrix


def _measured(
    target_NC: np.ndarray, predicted_NC: np.ndarray, p_NC: np.ndarray | None, resampling: Resampling
) -> tuple[Values, dict[str, Interval]]:
    rows = len(target_NC)
    found, intervals = resampling.measured(partial(_measure, target_NC, predicted_NC), rows)
    if p_NC is None:
        return found, intervals
    ranked = resampling.measured(
        lambda w: {"map": metrics.mean_average_precision(p_NC, target_NC, w)}, rows, work=p_NC.shape[1]
    )
    return found | ranked[0], intervals | ranked[1]


def _measure(target_NC: np.ndarray, predicted_NC: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    counts = metrics.label_counts(target_NC, predicted_NC, weights)
    return {
        "micro_f1": metrics.micro_f1(counts),
        "macro_f1": macro_f1(counts),
        "exact_match": metrics.exact_match(target_NC, predicted_NC, weights),
    }


def _baseline(target_NC: np.ndarray, classes: list, weights_N: np.ndarray | None) -> Baseline:
    """Always the most frequent set of labels; for mAP, scores that rank nothing."""
    sets, codes_N = np.unique(target_NC, axis=0, return_inverse=True)
    common = sets[np.bincount(codes_N.reshape(-1), weights_N).argmax()]
    found = measure_values(
        partial(_measure, target_NC, np.broadcast_to(common, target_NC.shape)), len(target_NC), weights_N
    )
    found["map"] = finite_or_none(metrics.mean_average_precision(np.zeros(target_NC.shape), target_NC, weights_N))
    named = ", ".join(str(label) for label, member in zip(classes, common, strict=True) if member)
    return Baseline(f"always {named!r}" if named else "never any label", found)


def _per_label(
    target_NC: np.ndarray,
    predicted_NC: np.ndarray,
    p_NC: np.ndarray | None,
    classes: list,
    weights_N: np.ndarray | None,
) -> list[dict]:
    found = per_class(metrics.label_counts(target_NC, predicted_NC, weights_N), classes, target_NC.sum(0))
    if p_NC is None:
        return found
    each = metrics.average_precisions(p_NC, target_NC, weights_N)
    return [row | {"ap": finite_or_none(ap)} for row, ap in zip(found, each, strict=True)]


def _notes(target_NC: np.ndarray, classes: list, p_NC: np.ndarray | None) -> list[str]:
    notes = []
    if not target_NC.any():
        notes.append("No row here has a label, so F1 and mAP tell nothing.")
    elif absent := int((~target_NC.any(0)).sum()):
        notes.append(f"{absent} of {len(classes)} labels occur in no row here; mAP leaves them out.")
    if p_NC is None:
        notes.append("Without probabilities there is no mAP or calibration.")
    return notes
