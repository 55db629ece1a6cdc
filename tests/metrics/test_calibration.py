"""Calibration error equals torchmetrics; the fitted temperature is the minimum, and undoes a known distortion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from polyfuse.metrics.calibration import calibration_error, fit_temperature, reliability_bins


def softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def drawn(seed: int, rows: int = 4000, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and targets drawn from exactly the probabilities that the scores say."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 2, (rows, classes))
    return scores, np.array([rng.choice(classes, p=p) for p in softmax(scores)])


def test_equal_to_torchmetrics():
    scores, target = drawn(0)
    p = softmax(scores)
    expected = multiclass_calibration_error(torch.from_numpy(p), torch.from_numpy(target), 4, n_bins=15)
    np.testing.assert_allclose(calibration_error(p.max(1), p.argmax(1) == target), expected, rtol=1e-5)


def test_bins_add_up_to_the_error():
    scores, target = drawn(1)
    p = softmax(scores)
    right = p.argmax(1) == target
    bins = reliability_bins(p.max(1), right)
    total = sum(b.rows * abs(b.confidence - b.accuracy) for b in bins) / len(target)
    assert sum(b.rows for b in bins) == len(target)
    np.testing.assert_allclose(calibration_error(p.max(1), right), total)


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_temperature_undoes_a_distortion(factor):
    scores, target = drawn(2)
    assert fit_temperature(scores * factor, target) == pytest.approx(factor, rel=0.1)


def test_temperature_lowers_the_calibration_error_of_an_overconfident_model():
    scores, target = drawn(3)
    p, q = softmax(scores * 3), softmax(scores * 3 / fit_temperature(scores * 3, target))
    before, after = (calibration_error(x.max(1), x.argmax(1) == target) for x in (p, q))
    assert after < before / 3


def test_temperature_for_labels_scales_each_sigmoid():
    rng = np.random.default_rng(4)
    scores = rng.normal(0, 2, (4000, 3))
    target = rng.random(scores.shape) < 1 / (1 + np.exp(-scores))
    assert fit_temperature(scores * 2.5, target) == pytest.approx(2.5, rel=0.1)


@given(st.integers(0, 1000), st.sampled_from([2, 5]))
def test_no_other_temperature_has_a_lower_loss(seed, classes):
    rng = np.random.default_rng(seed)
    scores, target = rng.normal(0, 3, (20, classes)), rng.integers(classes, size=20)

    def loss(temperature: float) -> float:
        return -np.log(softmax(scores / temperature)[np.arange(20), target]).mean()

    best = loss(fit_temperature(scores, target))
    assert all(best <= loss(t) + 1e-6 for t in np.geomspace(0.05, 20, 60))


def test_nothing_to_fit_leaves_scores_alone():
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int)) == 1
    assert fit_temperature(np.zeros((5, 1)), np.zeros(5, dtype=int)) == 1


def test_separable_scores_stay_within_bounds():
    scores = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert fit_temperature(scores, np.array([0, 1])) == pytest.approx(0.05, rel=1e-3)
    assert fit_temperature(scores, np.array([1, 0])) == pytest.approx(20, rel=1e-3)


def test_confidence_of_zero_and_one_have_a_bin():
    bins = reliability_bins(np.array([0.0, 1.0]), np.array([False, True]))
    assert [b.rows for b in bins] == [1, 1]
