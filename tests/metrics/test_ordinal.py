"""Metrics of ordered steps: equal to scikit-learn's, and the same under weights as with rows repeated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

from polyfuse.evaluation.judges import judge, measure
from polyfuse.evaluation.outcome import Outcome
from polyfuse.metrics import ordinal

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30)


@settings(max_examples=50, deadline=None)
@given(rows)
def test_values_are_scikit_learns_and_weights_repeat_rows(cells):
    target, value, times = np.array(cells).T
    assert ordinal.mean_steps(target, value) == pytest.approx(mean_absolute_error(target, value))
    kappa = ordinal.quadratic_kappa(target, value)
    if np.isfinite(kappa):
        assert kappa == pytest.approx(cohen_kappa_score(target, value, weights="quadratic", labels=range(4)))
    each = [np.abs(target - value)[target == k].mean() for k in np.unique(target)]
    assert ordinal.macro_mean_steps(target, value, 4) == pytest.approx(np.mean(each))
    if times.sum():
        repeated = np.repeat(target, times), np.repeat(value, times)
        for name, more in (("mean_steps", ()), ("macro_mean_steps", (4,)), ("quadratic_kappa", ())):
            metric = getattr(ordinal, name)
            np.testing.assert_allclose(metric(target, value, *more, times.astype(float)), metric(*repeated, *more))


def test_the_judge_counts_steps():
    outcome = Outcome("ordinal", ["a", "b", "c", None], ["a", "c", "a", "b"], None, ["a", "b", "c"])
    report = judge(outcome)
    assert report.metrics["mae_steps"] == 1
    assert report.metrics["accuracy"] == pytest.approx(1 / 3)
    assert report.severity[:3].tolist() == [0, 1, 2]
    assert report.baseline.name == "always 'b'"
    assert any("more than one step: 1 row of 3" in note for note in report.notes)
    assert float(measure(outcome)(np.array([1.0, 0, 0]))["mae_steps"]) == 0
    assert judge(Outcome("ordinal", [None], ["a"], None, ["a", "b"])).metrics["qwk"] is None
