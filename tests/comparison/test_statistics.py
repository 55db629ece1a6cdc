"""Paired bootstrap and Holm: no difference gives no alarm, a real one does, and corrections are those of the paper."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfuse.comparison.statistics import holm, measure_method, p_value
from polyfuse.evaluation.outcome import Outcome


def outcome(right_N, classes=(0, 1)):
    target = [n % 2 for n in range(len(right_N))]
    value = [t if right else 1 - t for t, right in zip(target, right_N, strict=True)]
    return Outcome("category", target, value, classes=list(classes))


def accuracy(*rights, groups=None):
    return measure_method([outcome(right) for right in rights], "accuracy", groups=groups, replicates=500)


def test_value_deviation_and_interval():
    rng = np.random.default_rng(0)
    found = accuracy(rng.random(400) < 0.8, rng.random(400) < 0.7)
    assert found.value == pytest.approx(np.mean(found.by_seed))
    assert found.deviation == pytest.approx(np.std(found.by_seed, ddof=1))
    low, high = found.interval
    assert low < found.value < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.75 * 0.25 / 400) / np.sqrt(2), rel=0.35)


def test_equal_methods_differ_by_chance_only_and_better_ones_do_not():
    rng = np.random.default_rng(1)
    base = rng.random(500) < 0.7
    same, better = rng.random(500) < 0.7, base | (rng.random(500) < 0.4)
    assert p_value(accuracy(base), accuracy(base)) == 1.0
    assert p_value(accuracy(same), accuracy(base)) > 0.01
    assert p_value(accuracy(better), accuracy(base)) == pytest.approx(2 / 501)


def test_rows_are_paired():
    """A small advantage on the very same rows shows, though both intervals overlap widely."""
    rng = np.random.default_rng(2)
    base = rng.random(400) < 0.6
    better = base.copy()
    better[np.flatnonzero(~base)[:12]] = True
    one, other = accuracy(better), accuracy(base)
    assert one.interval[0] < other.interval[1]
    assert p_value(one, other) < 0.01


def test_rows_of_a_group_count_once():
    rng = np.random.default_rng(3)
    sounds = np.repeat(np.arange(20), 30)
    right = (rng.random(20) < 0.7)[sounds]
    alone, together = accuracy(right), accuracy(right, groups=sounds.tolist())
    widths = [high - low for low, high in (alone.interval, together.interval)]
    assert widths[1] > 3 * widths[0]


def test_numbers_use_their_own_metric():
    target = np.linspace(1, 2, 50)
    found = measure_method([Outcome("number", target.tolist(), (target + 0.1).tolist())], "rmse", replicates=50)
    assert found.value == pytest.approx(0.1)
    np.testing.assert_allclose(found.replicates_R, 0.1)


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": None})
    assert found == {"a": pytest.approx(0.03), "c": pytest.approx(0.06), "b": pytest.approx(0.06), "d": None}


@given(st.dictionaries(st.text(max_size=3), st.one_of(st.none(), st.floats(0, 1)), max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values):
    found = holm(p_values)
    assert found.keys() == p_values.keys()
    known = [n for n, p in p_values.items() if p is not None]
    assert all(p_values[n] <= found[n] <= 1 for n in known)
    ranked = sorted(known, key=lambda n: p_values[n])
    assert all(found[a] <= found[b] for a, b in pairwise(ranked))
