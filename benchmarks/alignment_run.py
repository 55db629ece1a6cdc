"""What the rows of ``alignment.py`` share: alignments that are fitted and judged, recall as the page shows it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from defaults_run import Run, Section

import polyfuse as pf

ROWS: dict[str, Callable[[Run], Section]] = {}
TOP = (1, 5, 10)
QUICK = {"epochs": 1, "batch_size": 16, "steps": "auto"}

Pair = tuple[str, str]
Made = dict[str, Any]


def row(make: Callable[[Run], Section]) -> Callable[[Run], Section]:
    """Register a row by its function's name; what it measures is kept, and it is called once more for the page."""
    ROWS[make.__name__] = make
    return make


def align(
    run: Run, frame: pd.DataFrame, settings: Mapping[str, Any], seed: int, **options: Any
) -> tuple[pf.Model, Made]:
    """A model fitted on the column ``split``, and how well its inputs find each other in the test rows.

    Raises:
        KeyboardInterrupt: training was stopped, so that its figures are none to keep.
    """
    asked = {**settings, "training": {**settings.get("training", {}), **(QUICK if run.quick else {})}}
    model = pf.fit(frame, settings=asked, split="split", seed=seed, quiet=True, **options)
    if model.facts["training"]["interrupted"] or model.evaluation is None:
        raise KeyboardInterrupt("training was stopped")
    told = {key: model.facts["training"][key] for key in ("steps", "kept", "quality")}
    spent = {f"{part}_seconds": seconds for part, seconds in model.facts["seconds"].items()}
    return model, {"alignment": shorten_findings(model.evaluation.alignment), **told, **spent}


def shorten_findings(findings: Iterable[Mapping[str, Any]]) -> list[Made]:
    """Findings of an alignment, as short as a file of many wants them."""
    return [
        {
            **{key: one[key] for key in ("query", "gallery", "queries", "size")},
            "metrics": {name: round(float(value), 5) for name, value in one["metrics"].items()},
            "intervals": {n: [round(float(end), 5) for end in ends] for n, ends in one["intervals"].items()},
        }
        for one in findings
    ]


def finding(made: Mapping[str, Any], pair: Pair) -> Made:
    """How well the first input finds the second.

    Raises:
        KeyError: this was not measured.
    """
    for one in made["alignment"]:
        if (one["query"], one["gallery"]) == pair:
            return dict(one)
    raise KeyError(pair)


def recalls(made: Iterable[Mapping[str, Any]], pair: Pair) -> np.ndarray:
    """Recall at 1, 5 and 10 in percent, a row per seed."""
    return np.array([[100 * finding(one, pair)["metrics"][f"recall@{k}"] for k in TOP] for one in made])


def format_recalls(made: Iterable[Mapping[str, Any]], pair: Pair) -> str:
    """``28.1 ± 0.3 / 55.0 ± 0.4 / 68.2 ± 0.2``; without spread where one seed was measured."""
    return " / ".join(mean_and_deviation(column) for column in recalls(made, pair).T)


def mean_and_deviation(values: Iterable[float], digits: int = 1) -> str:
    """Mean and standard deviation, the latter of several values only."""
    values = [float(value) for value in values]
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def interval(made: Mapping[str, Any], pair: Pair, k: int = 10) -> str:
    """The interval of one seed's recall at k over queries, in percent."""
    low, high = finding(made, pair)["intervals"][f"recall@{k}"]
    return f"{100 * low:.1f} to {100 * high:.1f}"


def chance(made: Mapping[str, Any], pair: Pair, belonging: int = 1, k: int = 10) -> float:
    """Recall at k of a random order, in percent, where so many of the gallery belong to each query."""
    size = finding(made, pair)["size"]
    missed = 1.0
    for at in range(min(k, size)):
        missed *= max(0.0, 1 - belonging / (size - at))
    return 100 * (1 - missed)


def format_seconds(made: Iterable[Mapping[str, Any]]) -> str:
    """Seconds of training and of the whole, of the slowest seed."""
    made = list(made)
    return f"{max(one['training_seconds'] for one in made):,.0f} of {max(one['seconds'] for one in made):,.0f}"


def number_of_seeds(made: Iterable[Any]) -> str:
    """How many seeds stand behind a line."""
    return str(len(list(made)))
