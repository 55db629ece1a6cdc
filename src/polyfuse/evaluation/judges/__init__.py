"""One judge per kind of output: an ``Outcome`` in, an ``OutputReport`` out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from polyfuse.evaluation.judges.common import with_row_weights
from polyfuse.evaluation.outcome import Outcome, OutputReport
from polyfuse.metrics.intervals import Measure
from polyfuse.registry import HEADLINES, JUDGES, MEASURES, choose, resolve


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """Judge one output by the judge of its task.

    Args:
        outcome: targets and predictions, one per row.
        bootstrap: number of resamples for the 95 % intervals; 0 for none.
        seed: of the resampling.
        groups: one per row; rows of a group (a speaker, a patient) are resampled together.

    Raises:
        ValueError: no judge for the task; no metric of the name that the outcome wants; targets and predictions of
            different length; a target that is not a class.
    """
    if len(outcome.target) != len(outcome.value):
        raise ValueError(f"{len(outcome.target)} targets but {len(outcome.value)} predictions; there must be one each")
    found = resolve(choose(JUDGES, outcome.task, "task"))
    report: OutputReport = found(outcome, bootstrap=bootstrap, seed=seed, groups=groups)
    if outcome.metric in (None, report.headline[0]):
        return report
    choose(report.metrics, outcome.metric, f"metric of a {outcome.task}")
    return replace(report, headline=tuple(dict.fromkeys((outcome.metric, *report.headline))))


def headline(outcome: Outcome) -> tuple[str, ...]:
    """The metrics that ``judge`` would show first of such targets, the very first being the one to quote."""
    if outcome.task in HEADLINES:
        return resolve(HEADLINES[outcome.task])(outcome)
    return judge(replace(outcome, target=[None], value=[None], weights=None), bootstrap=0).headline


def measure(outcome: Outcome) -> Measure:
    """Weights (R, N) of the N judged rows -> metric -> values (R,): to compare models on the same resamples of rows.

    Where rows have weights of their own, these are multiplied by the ones given.
    """
    found: Measure = resolve(choose(MEASURES, outcome.task, "task"))(outcome)
    return with_row_weights(found, outcome.judged_weights())
