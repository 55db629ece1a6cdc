"""Records of one output: targets and predictions over a table, and the report of its metrics.

``Outcome`` goes into a judge, ``OutputReport`` comes out. The report is rendered from which of its parts are there, not
from its task, so a new kind of output brings a judge and needs no change to the pages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polyfuse.metrics.calibration import ReliabilityBin
from polyfuse.metrics.intervals import Interval

KEPT = ("task", "target", "value", "classes", "metric", "reads", "decoding")  # of an outcome as JSON, beside its arrays
MOST_CLASSES = 50  # a larger confusion matrix is left out of the JSON; its most frequent confusions stay


@dataclass(frozen=True, repr=False)
class Outcome:
    """Everything known of one output after prediction over a table.

    Args:
        task: the head's ``task``, a name in ``registry.JUDGES``.
        target: the true value of each row; None where missing. For ``labels`` a list, empty where none applies; for
            ``text`` a list of references, all of them right; for ``image`` pixels, uint8 (H, W) or (H, W, 3), for
            ``speech`` ``{"array", "sampling_rate"}``.
        value: the predicted value of each row, in original labels and units.
        probabilities: (rows, C), in the order of ``classes``.
        classes: every label the model knows.
        scores: raw scores (rows, C), as the head gives them.
        weights: of each row (rows,), by which it counts in metrics; None where all count the same.
        metric: the one to quote; the judge chooses where it is None.
        reads: modalities of the model's inputs, by which a judge may choose it.
        decoding: how the head made answers, such as ``{"beams": 4}``.
    """

    task: str
    target: list
    value: list
    probabilities: np.ndarray | None = None
    classes: list | None = None
    scores: np.ndarray | None = None
    weights: np.ndarray | None = None
    metric: str | None = None
    reads: tuple[str, ...] = ()
    decoding: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Outcome({self.task}, {len(self.target):,} rows)"

    def judged(self) -> np.ndarray:
        """Positions of the rows that have a target."""
        known = [i for i, t in enumerate(self.target) if t is not None and not (isinstance(t, float) and math.isnan(t))]
        return np.array(known, dtype=np.int64)

    def judged_weights(self) -> np.ndarray | None:
        """Weights of the rows that have a target, where there are any."""
        return None if self.weights is None else np.asarray(self.weights, dtype=float)[self.judged()]


@dataclass(frozen=True)
class Baseline:
    """What a model without inputs would reach on the same rows: the reader's measure of chance."""

    name: str
    metrics: dict[str, float | None]


@dataclass(frozen=True)
class Confusion:
    """Number of rows per true class (first axis) and predicted class (second)."""

    classes: list
    counts: np.ndarray

    def top(self, most: int = 20) -> list[dict[str, Any]]:
        """The most frequent mistakes."""
        wrong = self.counts * ~np.eye(len(self.counts), dtype=bool)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)]
        return [
            {"target": self.classes[i], "predicted": self.classes[j], "rows": int(wrong[i, j])}
            for i, j in pairs
            if wrong[i, j]
        ]


@dataclass(frozen=True, repr=False)
class OutputReport:
    """How good one output is.

    Args:
        task: the outcome's task.
        rows: number of rows judged, those with a target.
        metrics: name -> value, None where it is undefined on these rows (``notes`` say why).
        intervals: name -> 95 % interval, for the metrics that have one.
        headline: names of the metrics to show first; the very first is the one to quote.
        baseline: what no model at all would reach.
        per_class: one dict per class or label: ``class``, ``precision``, ``recall``, ``f1``, ``support``, ...
        per_token: of tags that mark spans, the same for the words of each tag, ``O`` among them.
        confusion: for one label per row.
        reliability: for outputs with a confidence.
        scatter: true and predicted numbers.
        severity: how wrong each row is, 0 where right, NaN where it has no target.
        confidence: the model's confidence in each row's prediction.
        notes: what the reader must know to read the numbers.
        score: of each row, by the first of the headline, for outputs that are more or less right; NaN without a target.
        decoding: how the head made answers, as in ``Outcome``.
    """

    task: str
    rows: int
    metrics: dict[str, float | None]
    intervals: dict[str, Interval]
    headline: tuple[str, ...]
    baseline: Baseline
    severity: np.ndarray
    confidence: np.ndarray | None = None
    per_class: list[dict[str, Any]] = field(default_factory=list)
    per_token: list[dict[str, Any]] = field(default_factory=list)
    confusion: Confusion | None = None
    reliability: list[ReliabilityBin] = field(default_factory=list)
    scatter: tuple[np.ndarray, np.ndarray] | None = None
    notes: list[str] = field(default_factory=list)
    score: np.ndarray | None = None
    decoding: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        name = self.headline[0]
        value, interval = self.metrics.get(name), self.intervals.get(name)
        found = "none" if value is None else f"{value:.4g}"
        found += f" ({interval[0]:.4g} to {interval[1]:.4g})" if interval else ""
        return f"OutputReport({self.task}, {self.rows:,} rows, {name} {found})"

    def measured(self, names: tuple[str, ...] | None = None) -> dict[str, Any]:
        """Metrics and their intervals in one dict: ``accuracy``, ``accuracy_ci``, ..."""
        found: dict[str, Any] = {}
        for name in names or self.metrics:
            found[name] = self.metrics[name]
            if name in self.intervals:
                found[f"{name}_ci"] = list(self.intervals[name])
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; undefined numbers are None."""
        found = {"task": self.task, "rows": self.rows, "headline": self.headline, **self.measured()}
        found["baseline"] = {"name": self.baseline.name, **self.baseline.metrics}
        if self.per_class:
            found["per_class"] = self.per_class
        if self.per_token:
            found["per_token"] = self.per_token
        if self.confusion:
            if len(self.confusion.classes) <= MOST_CLASSES:
                found["confusion"] = {"classes": self.confusion.classes, "counts": self.confusion.counts}
            found["top_confusions"] = self.confusion.top()
        if self.reliability:
            found["reliability"] = [vars(b) for b in self.reliability]
        if self.decoding:
            found["decoding"] = self.decoding
        return to_plain_json({**found, "notes": self.notes})


PARTS = (
    "task", "rows", "headline", "baseline", "per_class", "per_token", "confusion", "top_confusions", "reliability",
    "notes", "decoding",
)  # fmt: skip


def output_from_json(found: Mapping[str, Any]) -> OutputReport:
    """An output's report as ``to_json`` gave it: all but what belongs to single rows."""
    values = {name: value for name, value in found.items() if name not in PARTS}
    intervals = {
        name.removesuffix("_ci"): tuple(ends) for name, ends in values.items() if name.endswith("_ci") and ends
    }
    metrics = {name: value for name, value in values.items() if not name.endswith("_ci")}
    confusion = found.get("confusion")
    baseline = dict(found["baseline"])
    return OutputReport(
        task=found["task"],
        rows=found["rows"],
        metrics=metrics,
        intervals=intervals,  # type: ignore[arg-type]
        headline=tuple(found.get("headline") or list(metrics)[:5]),
        baseline=Baseline(baseline.pop("name"), baseline),
        severity=np.empty(0),
        per_class=list(found.get("per_class", [])),
        per_token=list(found.get("per_token", [])),
        confusion=Confusion(confusion["classes"], np.array(confusion["counts"])) if confusion else None,
        reliability=[ReliabilityBin(**bin) for bin in found.get("reliability", [])],
        notes=list(found.get("notes", [])),
        decoding=dict(found.get("decoding", {})),
    )


def to_plain_json(value: Any) -> Any:
    """The same as JSON values: NumPy becomes Python, numbers that are not finite None, anything else its text."""
    if isinstance(value, Mapping):
        return {str(key): to_plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [to_plain_json(item) for item in value]
    if isinstance(value, np.generic):
        return to_plain_json(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
