"""Area and retention: their formulas, in both directions, and when they are undefined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfuse.evaluation.curves import Curve, Headline, Point, area, mean_curve, retention


def points(*values: float | None, severities: tuple[float, ...] = (0.0, 0.25, 1.0)) -> tuple[Point, ...]:
    return tuple(Point(s, v) for s, v in zip(severities, values, strict=True))


def headline(
    metric: str = "accuracy", clean: float | None = 0.9, baseline: float | None = 0.5, interval=None
) -> Headline:
    return Headline(metric, clean, interval, baseline, "always 'a'")


def test_area_is_by_trapezoids_in_the_metrics_own_units():
    assert area(points(0.9, 0.5, 0.1)) == pytest.approx(0.25 * 0.7 + 0.75 * 0.3)
    assert area(points(900.0, 500.0, 100.0)) == pytest.approx(1000 * area(points(0.9, 0.5, 0.1)))
    assert area(points(0.9, 0.5, severities=(0.0, 0.5))) == pytest.approx(0.7), "the mean height over a shorter range"
    assert area(points(0.9, None, 0.1)) is None


@given(st.floats(-1e6, 1e6), st.lists(st.floats(0.01, 1), min_size=1, max_size=6, unique=True))
def test_a_flat_curve_has_its_value_as_area_and_keeps_all(value, severities):
    flat = points(*[value] * (len(severities) + 1), severities=(0.0, *sorted(severities)))
    assert area(flat) == pytest.approx(value)
    assert retention(flat, headline(clean=value, baseline=value - 1)) == 1
    assert retention(flat, headline("rmse", clean=value, baseline=value + 1)) == 1


def test_retention_is_the_mean_share_of_the_advantage_left():
    assert retention(points(0.9, 0.7, 0.5), headline()) == pytest.approx((0.5 + 0.0) / 2)
    assert retention(points(2.0, 4.0, 6.0), headline("rmse", 2.0, 6.0)) == pytest.approx((0.5 + 0.0) / 2)
    assert retention(points(0.9, 0.3, 0.1), headline()) < 0, "worse than no model is not hidden"
    assert retention(points(0.9, 1.0, 1.0), headline()) > 1, "nor is noise that helps"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ((0.4, 0.4, 0.4), headline(clean=0.4)),
        ((7.0, 7.0, 7.0), headline("rmse", 7.0, 6.0)),
        ((0.9, None, 0.5), headline()),
        ((None, 0.5, 0.5), headline(clean=None)),
        ((0.9, 0.5, 0.5), headline(baseline=None)),
    ],
)
def test_retention_is_undefined_without_an_advantage_to_keep(values, line):
    assert retention(points(*values), line) is None


@pytest.mark.parametrize(
    ("line", "sure"),
    [
        (headline(interval=(0.6, 0.95)), True),
        (headline(interval=(0.4, 0.95)), False),
        (headline("rmse", 2.0, 6.0, (1.0, 5.0)), True),
        (headline("rmse", 2.0, 6.0, (1.0, 7.0)), False),
        (headline(), True),
    ],
)
def test_an_advantage_within_the_interval_is_not_sure(line, sure):
    assert line.sure == sure


def test_the_mean_keeps_the_clean_point_and_averages_the_rest():
    line = headline(clean=0.9)
    clean = Point(0.0, 0.1 + 0.2 + 0.6, (0.8, 1.0))
    curves = [Curve.of([clean, Point(1.0, v, (v - 0.1, v + 0.1))], line) for v in (0.5, 0.6, 0.7)]
    mean = mean_curve(curves, line)
    assert mean.points[0] == clean
    assert mean.points[1].value == pytest.approx(0.6)
    assert np.allclose(mean.points[1].interval, (0.5, 0.7))
    assert mean.retention == pytest.approx(np.mean([c.retention for c in curves]))
    assert mean.area == pytest.approx(np.mean([c.area for c in curves]))
    hole = Curve.of([clean, Point(1.0, None)], line)
    assert mean_curve([curves[0], hole], line).points[1] == Point(1.0, None)
