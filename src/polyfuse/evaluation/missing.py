"""The missing-modality table: how good the model is when only some of its inputs are there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import combinations
from typing import Any

from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import Outcome

ALL_SUBSETS_UP_TO = 4  # inputs; above that their number doubles with each input

Predict = Callable[[tuple[str, ...]], dict[str, Outcome]]


def missing_table(
    predict: Predict,
    inputs: Sequence[str],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> list[dict[str, Any]]:
    """The headline metrics with each subset of the inputs present, all of them first.

    Args:
        predict: the inputs to keep -> outcome of each output; every other input is missing in every row.
        inputs: names of all inputs.
        bootstrap, seed, groups: as for ``judge``.

    Returns:
        One row per subset: ``{"inputs": ["image"], "digit": {"accuracy": 0.91, "accuracy_ci": [0.88, 0.94], ...}}``.
    """
    return [
        {"inputs": list(keep), **_headline_metrics(predict(keep), bootstrap=bootstrap, seed=seed, groups=groups)}
        for keep in subsets(inputs)
    ]


def subsets(inputs: Sequence[str]) -> list[tuple[str, ...]]:
    """The non-empty subsets, largest first; above four inputs only all, each removed, and each alone."""
    many = len(inputs)
    sizes = range(many, 0, -1) if many <= ALL_SUBSETS_UP_TO else (many, many - 1, 1)
    return [keep for size in sizes for keep in combinations(inputs, size)]


def _headline_metrics(outcomes: dict[str, Outcome], **options: Any) -> dict[str, Any]:
    reports = {name: judge(outcome, **options) for name, outcome in outcomes.items()}
    return {name: report.measured(report.headline) for name, report in reports.items()}
