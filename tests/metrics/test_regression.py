"""Regression metrics equal scikit-learn and SciPy, and their weighted form equals repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from polyfuse.metrics import regression as ours

ALL = [ours.rmse, ours.mae, ours.median_absolute_error, ours.r2, ours.rmsle, ours.r2_log, ours.spearman]


def case(seed: int, rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.exp(rng.normal(3, 1, rows)).round(0) + 1  # rounded, so that ties occur
    return target, (target * np.exp(rng.normal(0, 0.3, rows))).round(1) + 0.1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rows", [2, 7, 120])
def test_equal_to_scikit_learn(seed, rows):
    target, value = case(seed, rows)
    np.testing.assert_allclose(ours.rmse(target, value), sk.root_mean_squared_error(target, value))
    np.testing.assert_allclose(ours.mae(target, value), sk.mean_absolute_error(target, value))
    np.testing.assert_allclose(ours.median_absolute_error(target, value), sk.median_absolute_error(target, value))
    np.testing.assert_allclose(ours.r2(target, value), sk.r2_score(target, value))
    np.testing.assert_allclose(ours.rmsle(target, value), sk.root_mean_squared_log_error(target, value))
    np.testing.assert_allclose(ours.r2_log(target, value), sk.r2_score(np.log(target), np.log(value)))
    np.testing.assert_allclose(ours.spearman(target, value), stats.spearmanr(target, value).statistic)


@pytest.mark.parametrize("metric", ALL)
def test_weights_mean_repeated_rows(metric):
    target, value = case(0, 30)
    weights = np.random.default_rng(1).integers(0, 4, size=(20, 30)).astype(float)
    expected = [metric(target[r], value[r]) for r in (np.repeat(np.arange(30), w.astype(int)) for w in weights)]
    np.testing.assert_allclose(metric(target, value, weights), expected)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e9 + 0.1])
def test_a_constant_target_has_no_r2(level):
    target = np.full(7, level)
    assert np.isnan(ours.r2(target, target + 1))
    assert np.isnan(ours.spearman(target, np.arange(7.0)))


def test_r2_survives_a_large_offset():
    target, value = case(2)
    np.testing.assert_allclose(ours.r2(target + 1e8, value + 1e8), ours.r2(target, value), rtol=1e-5)


def test_a_negative_prediction_counts_as_zero_in_rmsle():
    target = np.array([0.0, 3.0])
    assert ours.rmsle(target, np.array([-5.0, 3.0])) == 0
