"""Plots are text that a browser renders in its own fonts and the page's colours."""

from __future__ import annotations

import re
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from polyfuse.evaluation import figures
from polyfuse.evaluation.curves import Curve, Point
from polyfuse.evaluation.figures import Line
from polyfuse.metrics.calibration import reliability_bins


def reliability() -> str:
    confidence = np.linspace(0.2, 1, 200)
    return figures.reliability(reliability_bins(confidence, confidence > 0.5))


def scatter(name: str = "price", rows: int = 50) -> str:
    target = np.linspace(1, 100, rows)
    return figures.scatter(target, target * 1.1, name)


def curves(metric: str = "accuracy", values: tuple = (0.9, 0.7, None)) -> str:
    points = tuple(
        Point(x, v, None if v is None else (v - 0.1, v + 0.1)) for x, v in zip((0, 0.5, 1), values, strict=True)
    )
    lines = [Line("房价 <b>", Curve(points, 0.5, 0.5), kind) for kind in figures.LINES]
    return figures.curves(lines, metric, 0.3, "noise in 房价 <b>")


@pytest.mark.parametrize("draw", [reliability, scatter, curves])
def test_well_formed_and_the_same_every_time(draw):
    ElementTree.fromstring(draw().replace("xlink:href", "href"))
    assert draw() == draw()


@pytest.mark.parametrize("draw", [reliability, scatter, curves])
def test_no_colour_font_or_style_of_its_own(draw):
    svg = draw()
    assert not re.search(r"(fill|stroke): #", svg)
    assert "DejaVu" not in svg
    assert "<style" not in svg
    assert "var(--accent)" in svg


def test_names_in_any_script_stay_text_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "predicted 房价 $x$ &lt;b&gt;, log scale</text>" in scatter("房价 $x$ <b>")


def test_a_large_table_is_thinned():
    points = [scatter(rows=rows).count("fill-opacity: 0.55") for rows in (500, 50_000)]
    assert points == [500, figures.MOST_POINTS]


RANGES = [
    ([5.0], [5.0]),
    ([0.0, 0.0], [0.0, 0.0]),
    ([1.0, 1e6], [2.0, 1e5]),
    ([1.0, 2.0], [np.nan, 2.0]),
    ([-1e9, 1e9], [0.0, 0.0]),
]


@pytest.mark.parametrize(("target", "value"), RANGES)
def test_any_range(target, value):
    assert "<use " in figures.scatter(np.array(target), np.array(value, dtype=float), "x")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.25, "0.25"), (150.0, "150"), (1500, "1.5k"), (-2e6, "-2M"), (3.2e10, "32G")]
)
def test_axis_labels_are_short(value, text):
    assert figures.short_number(value) == text


@pytest.mark.parametrize("values", [(0.9, 0.7, 0.5), (None, None, None), (1e6, -1e6, 0.0), (0.5, 0.5, 0.5)])
@pytest.mark.parametrize("metric", ["accuracy", "rmse"])
def test_curves_of_any_height(values, metric):
    svg = curves(metric, values)
    assert ("lower is better" in svg) == (metric == "rmse")
    assert (">房价 &lt;b&gt;<" in svg) == (values[-1] is not None)
    assert "<b>" not in svg


@pytest.mark.parametrize("places", [[0.2, 0.9, 0.95, 0.951, 0.952, 0.99], [0.01, 0.01, 0.02, 0.8], [0.5] * 9])
def test_labels_stand_apart_within_the_plot(places):
    found = np.array(figures.spread_apart(places))
    assert np.diff(found).min() > figures.LABEL_GAP - 1e-3
    assert found.min() >= 0
    assert found.max() <= 1
    assert figures.spread_apart([0.1, 0.5]) == [0.1, 0.5]
    assert figures.spread_apart([]) == []
