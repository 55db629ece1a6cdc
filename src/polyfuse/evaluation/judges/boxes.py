"""Judges an output with boxes in a picture, by average precision as COCO counts it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from polyfuse.evaluation.judges.common import (
    Resampling,
    common_notes,
    empty_report,
    finite_or_none,
    measure_values,
    spread_over_rows,
)
from polyfuse.evaluation.outcome import Baseline, Outcome, OutputReport
from polyfuse.metrics.boxes import Ranked, average_precision, box_metrics, rank_boxes
from polyfuse.metrics.intervals import Measure

HEADLINE = ("ap", "ap50", "ap75")
NAMES = (*HEADLINE, "ap_small", "ap_medium", "ap_large")
SURE = 0.3  # score from which boxes count in precision, recall and mistakes
PASSES = 30  # over the weights that average precision makes for a label, about


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """AP, AP50, AP75 and AP by size; pictures are resampled; see ``judges.judge``."""
    rows = outcome.judged()
    if not len(rows):
        return empty_report(outcome, NAMES, HEADLINE)
    resampling = Resampling.of(outcome, bootstrap, seed, groups)
    true, said = _sides(outcome, rows)
    ranked = rank_boxes(true, said)
    whole = {"": ranked[""]}
    values, intervals = resampling.measured(partial(box_metrics, whole), len(rows), PASSES * max(1, len(whole[""])))
    sized = {area: labels for area, labels in ranked.items() if area}
    values |= measure_values(partial(box_metrics, sized), len(rows), resampling.weights)
    counts_NL3, labels = _counts(true, said)
    mistakes_N = (counts_NL3[..., 1] + counts_NL3[..., 2] - 2 * counts_NL3[..., 0]).sum(1)
    return OutputReport(
        task=outcome.task,
        rows=len(rows),
        metrics={name: values.get(name) for name in NAMES},
        intervals=intervals,
        headline=HEADLINE,
        baseline=Baseline("never any box", dict.fromkeys(HEADLINE, 0.0)),
        severity=spread_over_rows(mistakes_N, rows, len(outcome.target)),
        per_class=_by_label(counts_NL3, labels, ranked[""], resampling.weights),
        notes=common_notes(outcome, rows, resampling) + _notes(true, said),
        decoding=dict(outcome.decoding),
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics of the judged rows as functions of weights of these rows; see ``judges.measure``."""
    return partial(box_metrics, rank_boxes(*_sides(outcome, outcome.judged()), ("",)))


def _sides(outcome: Outcome, rows: np.ndarray) -> tuple[list[list[Any]], list[list[Any]]]:
    """True boxes and those found, of the judged rows."""
    true, said = ([list(side[row] or []) for row in rows] for side in (outcome.target, outcome.value))
    return true, said


def _counts(true: Sequence[Sequence[Mapping]], said: Sequence[Sequence[Mapping]]) -> tuple[np.ndarray, list[Any]]:
    """Of every picture and label the boxes that are right, that were found, and that are true, at an overlap of .5."""
    sure = [[box for box in boxes if box["score"] >= SURE] for boxes in said]
    ranked = rank_boxes(true, sure, ("",))[""]
    found = np.zeros((len(true), len(ranked), 3))
    for at, one in enumerate(ranked.values()):
        counts_D = one.right_TD[0] | one.wrong_TD[0]
        found[:, at, 0] = np.bincount(one.row_D[one.right_TD[0]], minlength=len(true))
        found[:, at, 1] = np.bincount(one.row_D[counts_D], minlength=len(true))
        found[:, at, 2] = one.true_N
    return found, list(ranked)


def _by_label(
    counts_NL3: np.ndarray, labels: list[Any], ranked: Mapping[Any, Ranked], weights: np.ndarray | None
) -> list[dict[str, Any]]:
    """Precision, recall and F1 of sure boxes, AP, and number of true boxes of each label."""
    each = np.ones(len(counts_NL3)) if weights is None else weights
    rows = []
    for label, (right, said, true) in zip(labels, np.einsum("n,nlk->lk", each, counts_NL3), strict=True):
        precision = average_precision(ranked[label], each)
        rows.append(
            {
                "class": label,
                "precision": finite_or_none(right / said) if said else None,
                "recall": finite_or_none(right / true) if true else None,
                "f1": finite_or_none(2 * right / (said + true)) if said + true else None,
                "ap": finite_or_none(precision.mean()),
                "ap50": finite_or_none(precision[0]),
                "support": int(ranked[label].true_N.sum()),
            }
        )
    return rows


def _notes(true: Sequence[Sequence[Any]], said: Sequence[Sequence[Any]]) -> list[str]:
    count, found = sum(map(len, true)), sum(map(len, said))
    notes = [f"{count:,} boxes in {len(true):,} pictures; intervals resample pictures."]
    if not count:
        notes.append("No picture here has a box, so average precision tells nothing.")
    elif not found:
        notes.append("Not one box was found.")
    notes.append(f"Precision and recall by label are of boxes with a score of {SURE} or more, at an overlap of .5.")
    return notes
