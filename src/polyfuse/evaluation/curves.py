"""How a metric changes as noise grows: points, the area under them, and what is left of the advantage over no input.

Everything is in the metric's own units and measured against this model and the rows' own baseline alone: scores scaled
by what other methods reached change with the company they are in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyfuse.evaluation import glossary
from polyfuse.evaluation.outcome import OutputReport
from polyfuse.metrics.intervals import Interval

SEVERITIES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # degrees of noise


@dataclass(frozen=True)
class Headline:
    """What the curves of one output are measured in.

    Args:
        metric: its name.
        clean: its value without noise, the same that ``evaluate`` gives.
        interval: of the clean value.
        baseline: what a model without inputs would reach on the same rows.
        baseline_name: that model in words.
    """

    metric: str
    clean: float | None
    interval: Interval | None
    baseline: float | None
    baseline_name: str

    @classmethod
    def of(cls, report: OutputReport, metric: str) -> Headline:
        """From the report without noise."""
        value, interval = report.metrics[metric], report.intervals.get(metric)
        return cls(metric, value, interval, report.baseline.metrics.get(metric), report.baseline.name)

    @property
    def higher(self) -> bool:
        """A higher value is better."""
        return glossary.term(self.metric).higher

    @property
    def advantage(self) -> float | None:
        """How far the clean model is better than the baseline, positive; None where it is not, or is unknown."""
        if self.clean is None or self.baseline is None:
            return None
        ahead = (self.clean - self.baseline) * (1 if self.higher else -1)
        return ahead if ahead > 0 else None

    @property
    def sure(self) -> bool:
        """The interval of the clean value leaves the baseline out, so that its advantage is no chance."""
        if self.interval is None or self.baseline is None:
            return self.advantage is not None
        low, high = self.interval
        return self.baseline < low if self.higher else self.baseline > high

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "metric": self.metric,
            "higher_is_better": self.higher,
            "clean": self.clean,
            "clean_ci": None if self.interval is None else list(self.interval),
            "baseline": {"name": self.baseline_name, "value": self.baseline},
        }


@dataclass(frozen=True)
class Point:
    """The metric at one severity, with its 95 % interval where it has one."""

    severity: float
    value: float | None
    interval: Interval | None = None


@dataclass(frozen=True)
class Curve:
    """Points from severity 0 on.

    Args:
        points: severities rising.
        area: mean height of the curve, see ``area``.
        retention: share of the clean model's advantage that is left, see ``retention``.
    """

    points: tuple[Point, ...]
    area: float | None
    retention: float | None

    @classmethod
    def of(cls, points: Sequence[Point], headline: Headline) -> Curve:
        """A curve with its two summaries."""
        return cls(tuple(points), area(points), retention(points, headline))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        points = [
            {"severity": p.severity, "value": p.value, "ci": None if p.interval is None else list(p.interval)}
            for p in self.points
        ]
        return {"area": self.area, "retention": self.retention, "points": points}


def area(points: Sequence[Point]) -> float | None:
    """The area under the curve by trapezoids, divided by the range of severities: its mean height, in the metric's own
    units. For severities from 0 to 1 that is the area itself. None where a value is undefined.

    Example:
        >>> area([Point(0.0, 1.0), Point(0.5, 0.6), Point(1.0, 0.4)])
        0.65
    """
    values = [p.value for p in points if p.value is not None]
    if len(values) < len(points):
        return None
    severities = [p.severity for p in points]
    return float(np.trapezoid(values, severities) / (severities[-1] - severities[0])) if len(points) > 1 else values[0]


def retention(points: Sequence[Point], headline: Headline) -> float | None:
    """Mean, over the severities above 0, of (value - baseline) / (clean - baseline).

    1: noise changes nothing. 0: on average no better than a model without inputs. Below 0: worse than that, for noise
    misleads the model; above 1: noise helps. Never cut to 0 and 1. Both differences change sign where a lower value is
    better, so it reads the same. None where the clean model is no better than the baseline (nothing to keep), where a
    value is undefined, and where there is no severity above 0.
    """
    values = [p.value for p in points if p.severity > 0]
    known = [value for value in values if value is not None]
    if headline.advantage is None or not known or len(known) < len(values):
        return None
    assert headline.clean is not None
    assert headline.baseline is not None
    return float(np.mean([(v - headline.baseline) / (headline.clean - headline.baseline) for v in known]))


def mean_curve(curves: Sequence[Curve], headline: Headline) -> Curve:
    """The mean of curves over the same severities, undefined where one of them is.

    The interval of a mean is the mean of the bounds: right if all curves moved together from one drawing of the rows to
    the next, else a little too wide.
    """
    return Curve.of([_mean_point(points) for points in zip(*(c.points for c in curves), strict=True)], headline)


def _mean_point(points: Sequence[Point]) -> Point:
    values = [p.value for p in points if p.value is not None]
    bounds = [p.interval for p in points if p.interval is not None]
    if len(set(points)) == 1:
        return points[0]  # at severity 0 all are the clean value, to the last bit
    value = float(np.mean(values)) if len(values) == len(points) else None
    if len(bounds) < len(points):
        return Point(points[0].severity, value)
    low, high = (float(np.mean(side)) for side in zip(*bounds, strict=True))
    return Point(points[0].severity, value, (low, high))
