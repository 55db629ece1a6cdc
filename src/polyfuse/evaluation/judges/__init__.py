"""One judge per kind of output: an ``Outcome`` in, an ``OutputReport`` out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from polyfuse.evaluation.judges.common import weighted
from polyfuse.evaluation.outcome import Outcome, OutputReport
from polyfuse.metrics.intervals import Measure
from polyfuse.registry import JUDGES, MEASURES, choose, resolve


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
        ValueError: no judge for the task; targets and predictions of different length; a target that is not a class.
    """
    if len(outcome.target) != len(outcome.value):
        raise ValueError(f"{len(outcome.target)} targets but {len(outcome.value)} predictions; there must be one each")
    found = resolve(choose(JUDGES, outcome.task, "task"))
    return found(outcome, bootstrap=bootstrap, seed=seed, groups=groups)


def measure(outcome: Outcome) -> Measure:
    """Weights (R, N) of the N judged rows -> metric -> values (R,): to compare models on the same resamples of rows.

    Where rows have weights of their own, these are multiplied by the ones given.
    """
    found: Measure = resolve(choose(MEASURES, outcome.task, "task"))(outcome)
    return weighted(found, outcome.judged_weights())
