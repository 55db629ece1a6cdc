"""The plot of a comparison: one line far off does not squash the others, and everything in it can be read."""

from __future__ import annotations

import re
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.comparison.plot import Point, cost, window

NAMES = ["concat", "film", "gated", "attention", "crossmodal_transformer"]


def line(name, value, seconds, completed=True):
    found = SimpleNamespace(value=value, interval=(value - 0.03, value + 0.03), deviation=None)
    return SimpleNamespace(name=name, found=found, completed=completed, mean=lambda _: seconds)


def drawn(values, seconds, metric="r2", stopped=()):
    fusions = [line(n, v, s, n not in stopped) for n, v, s in zip(NAMES, values, seconds, strict=False)]
    return cost(SimpleNamespace(fusions=fusions, single=[], best="film", metric=metric, output="price"))


@given(
    st.lists(st.floats(0.4, 0.8), min_size=4, max_size=20),
    st.lists(st.floats(-1e6, -5), max_size=3),
)
@settings(max_examples=50, deadline=None)
def test_what_is_far_off_takes_no_room(near, far):
    def point(y, completed):
        return Point("a", 1.0, y, (y - 0.02, y + 0.02), completed, "k")

    low, high = window([point(y, True) for y in near] + [point(y, False) for y in far])
    assert low < np.median(near) < high
    assert high - low < 1.2


def test_a_stopped_training_stands_at_the_edge_with_its_value():
    svg = drawn([0.60, 0.62, -11.2, 0.64, 0.61], [10, 20, 4, 40, 80], stopped=("gated",))
    assert "gated −11.20" in svg
    assert "log scale" in svg
    ticks = [float(t) for t in re.findall(r">(0\.\d+)</text>", svg)]
    assert len(ticks) >= 3
    assert min(ticks) > 0.4


SECONDS = ([10, 10, 10, 10, 10], [1, 2, 2.1, 2.2, 2], [0, 1, 10, 1000, 9000], [7, 8, 9, 90, 30])


@pytest.mark.parametrize("seconds", SECONDS)
def test_ticks_are_few_and_the_plot_is_as_narrow_as_a_phone(seconds):
    svg = drawn([0.5, 0.6, 0.7, 0.71, 0.72], seconds, metric="accuracy")
    size = re.search(r'viewBox="0 0 ([\d.]+)', svg)
    assert size is not None
    assert float(size[1]) < 360
    assert svg.count(" %</text>") >= 2
    texts = re.findall(r'<text[^>]*?x="([\d.]+)"[^>]*>([^<]+)</text>', svg)
    places = sorted(float(x) for x, text in texts if re.fullmatch(r"[\d.k]+", text))
    assert 1 <= len(places) <= 7
    assert all(b - a > 14 for a, b in pairwise(places))
    assert ("log scale" in svg) == (max(seconds) > 3 * max(min(seconds), 0.01))
