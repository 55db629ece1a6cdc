"""Judges an output with one number per row."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np

from polyfuse.data.cells.targets import find_outliers
from polyfuse.errors import format_count
from polyfuse.evaluation.judges.common import (
    Resampling,
    Values,
    common_notes,
    empty_report,
    measure_values,
    spread_over_rows,
)
from polyfuse.evaluation.outcome import Baseline, Outcome, OutputReport
from polyfuse.metrics import regression as metrics
from polyfuse.metrics.intervals import Interval, Measure

HEADLINE = ("r2", "rmse", "mae", "rmsle", "r2_log")
NAMES = ("rmse", "mae", "median_ae", "r2", "rmsle", "r2_log", "spearman")


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """Errors in the column's units, variance explained, relative error, rank correlation; see ``judges.judge``."""
    rows = outcome.judged()
    if not len(rows):
        return empty_report(outcome, NAMES, HEADLINE)
    resampling = Resampling.of(outcome, bootstrap, seed, groups)
    target, value = (np.array([side[row] for row in rows], dtype=float) for side in (outcome.target, outcome.value))
    found, intervals = _measured(target, value, resampling)
    return OutputReport(
        task=outcome.task,
        rows=len(rows),
        metrics={name: found.get(name) for name in NAMES},
        intervals=intervals,
        headline=HEADLINE,
        baseline=_baseline(target, resampling.weights),
        severity=spread_over_rows(np.nan_to_num(np.abs(target - value), nan=np.inf), rows, len(outcome.target)),
        scatter=(target, value),
        notes=common_notes(outcome, rows, resampling) + _notes(target, value),
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics of the judged rows as functions of weights of these rows; see ``judges.measure``."""
    rows = outcome.judged()
    return partial(
        _measure, *(np.array([side[row] for row in rows], float) for side in (outcome.target, outcome.value))
    )


def _measured(target_N: np.ndarray, value_N: np.ndarray, resampling: Resampling) -> tuple[Values, dict[str, Interval]]:
    if not np.isfinite(value_N).all():
        return {}, {}
    return resampling.measured(partial(_measure, target_N, value_N), len(target_N))


def _measure(target_N: np.ndarray, value_N: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    found = {
        "rmse": metrics.rmse(target_N, value_N, weights),
        "mae": metrics.mae(target_N, value_N, weights),
        "median_ae": metrics.median_absolute_error(target_N, value_N, weights),
        "r2": metrics.r2(target_N, value_N, weights),
        "spearman": metrics.spearman(target_N, value_N, weights),
    }
    if (target_N >= 0).all():
        found["rmsle"] = metrics.rmsle(target_N, value_N, weights)
    if (target_N > 0).all() and (value_N > 0).all():
        found["r2_log"] = metrics.r2_log(target_N, value_N, weights)
    return found


def _baseline(target_N: np.ndarray, weights_N: np.ndarray | None) -> Baseline:
    """Always one number, for each metric the one that is best for it."""

    def always(number: float, *names: str) -> Values:
        found = measure_values(partial(_measure, target_N, np.full_like(target_N, number)), len(target_N), weights_N)
        return {name: found[name] for name in names if name in found}

    def mean(values_N: np.ndarray) -> float:
        return float(
            values_N.mean() if weights_N is None or not weights_N.sum() else np.average(values_N, weights=weights_N)
        )

    middle = float(np.median(target_N)) if weights_N is None else _weighted_median(target_N, weights_N)
    found = always(mean(target_N), "rmse", "r2") | always(middle, "mae", "median_ae")
    if (target_N >= 0).all():
        found |= always(float(np.expm1(mean(np.log1p(target_N)))), "rmsle")
    if (target_N > 0).all():
        found |= always(float(np.exp(mean(np.log(target_N)))), "r2_log")
    return Baseline("always the best single number", found)


def _weighted_median(values_N: np.ndarray, weights_N: np.ndarray) -> float:
    """The value that half of the weight stays below."""
    order = np.argsort(values_N, kind="stable")
    total = weights_N[order].cumsum()
    return float(values_N[order][np.searchsorted(total, total[-1] / 2)])


def _notes(target_N: np.ndarray, value_N: np.ndarray) -> list[str]:
    notes = []
    if broken := int((~np.isfinite(value_N)).sum()):
        notes.append(f"Not a finite number: {format_count(broken, 'prediction')}, so no metric can be given.")
    if far := int(find_outliers(target_N).sum()):
        largest = target_N[np.abs(target_N - np.median(target_N)).argmax()]
        notes.append(
            f"Far from all other targets: {format_count(far, 'row')}, such as {largest:g}, which decide RMSE, R² and "
            "the mean absolute error nearly alone; look at the median absolute error."
        )
    if np.ptp(target_N) == 0:
        notes.append("All rows have the same target, so R² and Spearman are undefined.")
    if (target_N < 0).any():
        notes.append("Some targets are below 0, so RMSLE and R² of logs are undefined.")
    elif below := int((value_N < 0).sum()):
        notes.append(f"Below 0 although no target is: {format_count(below, 'prediction')}; RMSLE takes 0 instead.")
    return notes
