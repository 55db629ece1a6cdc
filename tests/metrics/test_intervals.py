"""Bootstrap intervals: seeded, covering, wider where rows come in groups, and absent where they mean nothing."""

from __future__ import annotations

import numpy as np
import pytest

from polyfuse.metrics.intervals import BUDGET, CHUNK, bootstrap, group_codes, resamples
from polyfuse.metrics.weighted import weighted_mean


def interval(values: np.ndarray, **options) -> tuple[float, float]:
    return bootstrap(lambda w: {"mean": weighted_mean(values, w)}, len(values), **options)["mean"]


def test_every_resample_draws_as_many_rows_as_there_are():
    chunks = list(resamples(CHUNK // 10, 25))
    assert sum(len(c) for c in chunks) == 25
    assert len(chunks) > 1
    assert all((c.sum(1) == CHUNK // 10).all() for c in chunks)


def test_seed_decides():
    values = np.random.default_rng(0).normal(size=50)
    assert interval(values, seed=1) == interval(values, seed=1) != interval(values, seed=2)


def test_interval_has_the_width_of_the_normal_theory():
    values = np.random.default_rng(0).normal(size=2000)
    low, high = interval(values)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(2000), rel=0.1)
    assert low < values.mean() < high


def test_coverage_is_near_95_percent():
    rng = np.random.default_rng(0)
    covered = [low <= 0 <= high for low, high in (interval(rng.normal(size=60), seed=s) for s in range(300))]
    assert 0.90 <= np.mean(covered) <= 0.98


def test_rows_of_a_group_are_drawn_together():
    groups = np.repeat(list("abcd"), 3)
    (weights,) = resamples(12, 50, groups=groups)
    assert (weights.reshape(50, 4, 3) == weights.reshape(50, 4, 3)[..., :1]).all()


def test_groups_widen_the_interval_of_rows_that_are_alike():
    values = np.repeat(np.random.default_rng(0).normal(size=20), 30)
    low, high = interval(values)
    wide_low, wide_high = interval(values, groups=np.repeat(np.arange(20), 30))
    assert wide_high - wide_low > 3 * (high - low)


def test_one_row_or_one_group_has_no_interval():
    assert bootstrap(lambda w: {"m": w.sum(-1)}, 1) == {}
    assert bootstrap(lambda w: {"m": w.sum(-1)}, 4, groups=["a"] * 4) == {}


def test_zero_replicates_means_no_interval():
    assert bootstrap(lambda w: {"m": w.sum(-1)}, 9, replicates=0) == {}


def test_costly_metrics_get_fewer_resamples_then_none():
    drawn = []

    def measure(weights):
        drawn.append(len(weights))
        return {"m": weights.sum(-1)}

    assert bootstrap(measure, 100, replicates=1000, work=BUDGET // 100 // 300)
    assert sum(drawn) == 300
    assert bootstrap(measure, 100, replicates=1000, work=BUDGET // 100 // 100) == {}


def test_a_metric_undefined_in_most_resamples_has_no_interval():
    def measure(weights):
        return {"sometimes": np.where(weights[:, 0] > 3, 1.0, np.nan), "always": weights[:, 0]}

    assert bootstrap(measure, 10).keys() == {"always"}


def test_groups_are_numbered_in_order_whatever_they_are():
    assert group_codes(["b", None, 3, "b"]).tolist() == [0, 1, 2, 0]
