"""What judges share: values with their intervals, class codes, severity per row, and a report for no rows at all."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyfuse.errors import format_count
from polyfuse.evaluation.outcome import Baseline, Outcome, OutputReport
from polyfuse.metrics.intervals import Interval, Measure, bootstrap

Values = dict[str, float | None]


@dataclass(frozen=True)
class Resampling:
    """How values and intervals are made.

    Args:
        replicates, seed: number of resamples, and of their draw.
        groups: the group of each judged row, or None.
        weights: the weight of each judged row, or None.
    """

    replicates: int
    seed: int
    groups: list[Hashable] | None
    weights: np.ndarray | None = None

    @classmethod
    def of(cls, outcome: Outcome, replicates: int, seed: int, groups: Sequence[Hashable] | None) -> Resampling:
        """For the judged rows, from groups given for all rows."""
        chosen = None if groups is None else [groups[row] for row in outcome.judged()]
        return cls(replicates, seed, chosen, outcome.judged_weights())

    def measured(self, measure: Measure, rows: int, work: int = 1) -> tuple[Values, dict[str, Interval]]:
        """Values of some metrics on the rows as they are, and their intervals."""
        measure = with_row_weights(measure, self.weights)
        intervals = bootstrap(measure, rows, replicates=self.replicates, seed=self.seed, groups=self.groups, work=work)
        return measure_values(measure, rows), intervals


def with_row_weights(measure: Measure, weights_N: np.ndarray | None) -> Measure:
    """Metrics of rows that have weights of their own beside those that resamples give them."""
    return measure if weights_N is None else lambda times: measure(times * weights_N)


def measure_values(measure: Measure, rows: int, weights: np.ndarray | None = None) -> Values:
    """Values of some metrics on the rows as they are; None where undefined."""
    return {name: finite_or_none(value) for name, value in with_row_weights(measure, weights)(np.ones(rows)).items()}


def finite_or_none(value: Any) -> float | None:
    """A plain float, or None for NaN and infinity."""
    return float(value) if np.isfinite(value) else None


def encode_labels(labels: list, classes: list, rows: np.ndarray) -> np.ndarray:
    """The codes of the judged rows' labels.

    Raises:
        ValueError: a label that is not one of the classes, named with its row.
    """
    codes = {label: code for code, label in enumerate(classes)}
    return np.array([encode_label(labels[row], codes, row) for row in rows])


def encode_label(label: Hashable, codes: dict[Any, int], row: int) -> int:
    """The code of one label; ``row`` is for the error of ``encode_labels``."""
    if label not in codes:
        known = ", ".join(str(c) for c in list(codes)[:20]) + (", ..." if len(codes) > 20 else "")
        raise ValueError(
            f"row {row}: the label {label!r} is not one the model knows ({known}); "
            "correct the cell, leave the row out, or train with such rows"
        )
    return codes[label]


def spread_over_rows(values: np.ndarray, rows: np.ndarray, total: int) -> np.ndarray:
    """Values of the judged rows laid out over all rows, NaN elsewhere."""
    everywhere = np.full(total, np.nan)
    everywhere[rows] = values
    return everywhere


def common_notes(outcome: Outcome, rows: np.ndarray, resampling: Resampling) -> list[str]:
    """Notes that hold for every task."""
    notes = []
    if missing := len(outcome.target) - len(rows):
        total = format_count(len(outcome.target), "row")
        notes.append(f"No target, and not judged: {missing:,} of {total}.")
    units = len(rows) if resampling.groups is None else len(set(resampling.groups))
    if resampling.replicates and units < 2:
        notes.append(f"Intervals need at least two {'rows' if resampling.groups is None else 'groups'}.")
    if resampling.weights is not None:
        notes.append("Rows count by their weights in the metrics; counts of rows are plain.")
    return notes


def empty_report(outcome: Outcome, names: tuple[str, ...], headline: tuple[str, ...]) -> OutputReport:
    """The report when no row has a target: every metric None, and why."""
    nothing = Baseline("none", dict.fromkeys(headline))
    unknown = np.full(len(outcome.target), np.nan)
    notes = [f"No target in {format_count(len(outcome.target), 'row')}, so there is nothing to judge."]
    return OutputReport(outcome.task, 0, dict.fromkeys(names), {}, headline, nothing, unknown, notes=notes)
