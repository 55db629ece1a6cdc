"""The judge of numbers."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import Outcome


def test_a_known_table():
    report = judge(Outcome("number", [1.0, 2.0, 3.0, None], [1.0, 3.0, 3.0, 9.0]))
    assert report.rows == 3
    assert report.metrics["rmse"] == pytest.approx(np.sqrt(1 / 3))
    assert report.metrics["mae"] == pytest.approx(1 / 3)
    assert report.metrics["median_ae"] == 0
    assert report.metrics["r2"] == pytest.approx(1 - 1 / 2)
    np.testing.assert_array_equal(report.severity, [0, 1, 0, np.nan])


def test_no_constant_beats_the_baseline():
    target = list(np.exp(np.random.default_rng(0).normal(size=101)))
    baseline = judge(Outcome("number", target, target)).baseline.metrics
    for constant in np.linspace(0.01, 5, 50):
        found = judge(Outcome("number", target, [constant] * 101), bootstrap=0).metrics
        assert all(found[name] >= baseline[name] - 1e-12 for name in ("rmse", "mae", "rmsle"))
        assert found["r2"] <= baseline["r2"] + 1e-12


def test_logarithms_only_where_they_exist():
    positive = judge(Outcome("number", [1.0, 2.0], [1.0, 3.0])).metrics
    zero = judge(Outcome("number", [0.0, 2.0], [1.0, 3.0])).metrics
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        below = judge(Outcome("number", [1.0, 2.0], [-1.0, 3.0]))
    negative = judge(Outcome("number", [-1.0, 2.0], [1.0, 3.0]))
    assert positive["r2_log"] is not None
    assert zero["r2_log"] is None
    assert zero["rmsle"] is not None
    assert below.metrics["r2_log"] is None
    assert any("Below 0" in note for note in below.notes)
    assert negative.metrics["rmsle"] is None
    assert any("RMSLE" in note for note in negative.notes)


def test_a_prediction_that_is_no_number_is_said_not_averaged():
    report = judge(Outcome("number", [1.0, 2.0], [float("nan"), 2.0]))
    assert report.metrics["rmse"] is None
    assert any("finite number" in note for note in report.notes)
    assert report.severity[0] == np.inf


targets = st.one_of(st.none(), st.floats(-1e6, 1e6), st.integers(-5, 5))
predictions = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([np.nan, np.inf]))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(targets, predictions), max_size=8))
def test_any_table_gives_valid_json(rows):
    report = judge(Outcome("number", [t for t, _ in rows], [v for _, v in rows]), bootstrap=20)
    json.dumps(report.to_json(), allow_nan=False)
    if report.rows < 2:
        assert report.intervals == {}


def test_rows_far_from_all_others_are_said_to_decide_the_metrics():
    target = [7 + n % 5 / 4 for n in range(60)]
    plain = judge(Outcome("number", target, [7.5] * 60), bootstrap=0)
    far = judge(Outcome("number", [*target, 1e9], [7.5] * 61), bootstrap=0)
    assert not any("Far from" in note for note in plain.notes)
    assert any("1 row, such as 1e+09, which decide RMSE" in note for note in far.notes)
    assert far.metrics["median_ae"] < 1
