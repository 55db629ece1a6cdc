"""Judges an output with a class per pixel of a picture."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
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
from polyfuse.metrics.intervals import Measure
from polyfuse.metrics.masks import IGNORED, count_pixels, mask_metrics

HEADLINE = ("miou", "dice", "pixel_accuracy")
NAMES = HEADLINE


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """Mean IoU, Dice and pixel accuracy, per class too; pictures are resampled; see ``judges.judge``."""
    rows = outcome.judged()
    if not len(rows):
        return empty_report(outcome, NAMES, HEADLINE)
    resampling = Resampling.of(outcome, bootstrap, seed, groups)
    counts_NC3, classes = _counts(outcome, rows)
    found, intervals = resampling.measured(partial(mask_metrics, counts_NC3), len(rows), len(classes))
    true_N = counts_NC3[..., 2].sum(1)
    wrong_N = (true_N - counts_NC3[..., 0].sum(1)) / np.maximum(true_N, 1)
    absent = [str(kind) for kind, count in zip(classes, counts_NC3[..., 2].sum(0), strict=True) if not count]
    said = [f"{len(absent)} of {len(classes)} classes have no pixel here: {', '.join(absent[:10])}."] if absent else []
    return OutputReport(
        task=outcome.task,
        rows=len(rows),
        metrics={name: found.get(name) for name in NAMES},
        intervals=intervals,
        headline=HEADLINE,
        baseline=_baseline(counts_NC3, classes, resampling.weights),
        severity=spread_over_rows(wrong_N, rows, len(outcome.target)),
        score=spread_over_rows(_of_rows(counts_NC3), rows, len(outcome.target)),
        per_class=_by_class(counts_NC3, classes, resampling.weights),
        notes=common_notes(outcome, rows, resampling) + said,
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics of the judged rows as functions of weights of these rows; see ``judges.measure``."""
    return partial(mask_metrics, _counts(outcome, outcome.judged())[0])


def _counts(outcome: Outcome, rows: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Pixels of every judged picture and class that are right, that were said, and that are true."""
    true = [np.asarray(outcome.target[row]) for row in rows]
    said = [_said(outcome.value[row], one) for row, one in zip(rows, true, strict=True)]
    values = outcome.classes if outcome.classes is not None else np.unique([np.unique(one) for one in [*true, *said]])
    classes = [int(value) for value in values if value != IGNORED]
    return count_pixels(true, said, classes), classes


def _said(value: Any, true_HW: np.ndarray) -> np.ndarray:
    """What was said of a picture; where there was none, something that is wrong everywhere."""
    return np.full(true_HW.shape, IGNORED, np.uint8) if value is None else np.asarray(value)


def _of_rows(counts_NC3: np.ndarray) -> np.ndarray:
    """Mean IoU of every picture by itself."""
    right, said, true = (counts_NC3[..., at] for at in range(3))
    there = said + true > 0
    each = np.where(there, right / np.maximum(said + true - right, 1), 0.0)
    return each.sum(1) / np.maximum(there.sum(1), 1)


def _baseline(counts_NC3: np.ndarray, classes: list[int], weights: np.ndarray | None) -> Baseline:
    """The commonest class everywhere."""
    most = int(counts_NC3[..., 2].sum(0).argmax())
    said = np.zeros_like(counts_NC3)
    said[..., 2] = counts_NC3[..., 2]
    said[:, most, 1] = counts_NC3[..., 2].sum(1)
    said[:, most, 0] = counts_NC3[:, most, 2]
    return Baseline(
        f"class {classes[most]} everywhere", measure_values(partial(mask_metrics, said), len(said), weights)
    )


def _by_class(counts_NC3: np.ndarray, classes: list[int], weights: np.ndarray | None) -> list[dict[str, Any]]:
    """Precision, recall and F1 (Dice) of pixels, IoU, and number of pictures that show each class."""
    each = np.ones(len(counts_NC3)) if weights is None else weights
    rows = []
    for at, kind in enumerate(classes):
        right, said, true = each @ counts_NC3[:, at]
        rows.append(
            {
                "class": kind,
                "precision": finite_or_none(right / said) if said else None,
                "recall": finite_or_none(right / true) if true else None,
                "f1": finite_or_none(2 * right / (said + true)) if said + true else None,
                "iou": finite_or_none(right / (said + true - right)) if said + true else None,
                "support": int((counts_NC3[:, at, 2] > 0).sum()),
            }
        )
    return rows
