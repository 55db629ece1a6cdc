"""Metrics of what was made, against their formulas and on cases whose value is known."""

from __future__ import annotations

import numpy as np
import pytest

from polyfuse.metrics.cepstra import alignment_cost, cepstra, distortion, shape
from polyfuse.metrics.generated import frechet, match, variety

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("rows", "others"), [(40, 50), (5, 7)])
def test_frechet_is_the_formula_with_roots_of_matrices(rows, others):
    linalg = pytest.importorskip("scipy.linalg")
    one, other = RNG.normal(0, 1, (rows, 6)), RNG.normal(0.5, 2, (others, 6))
    left, right = np.cov(one.T), np.cov(other.T)
    root = linalg.sqrtm(left @ right).real
    expected = np.square(one.mean(0) - other.mean(0)).sum() + np.trace(left + right - 2 * root)
    assert frechet(one, other) == pytest.approx(expected, rel=1e-5)
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)
    assert np.isnan(frechet(one[:1], other))


def test_match_is_half_for_chance_one_for_the_own_and_ignores_equal_references():
    real = RNG.normal(0, 1, (300, 4))
    assert match(real, real) == pytest.approx(np.ones(300))
    assert match(np.zeros((300, 4)), real).mean() == pytest.approx(0.5, abs=0.01)
    assert match(RNG.normal(0, 1, (300, 4)), real).mean() == pytest.approx(0.5, abs=0.06)
    twice = np.array([[0.0], [0.0], [1.0]])
    assert match(np.array([[0.1], [0.9], [1.0]]), twice) == pytest.approx([1, 0, 1])
    assert np.isnan(match(np.zeros((2, 1)), np.zeros((2, 1)))).all()


def test_variety_is_the_share_of_variance():
    real = RNG.normal(0, 1, (100, 3))
    assert variety(real / 2, real) == pytest.approx(0.25)
    assert np.isnan(variety(real, real * 0))


def test_the_best_alignment_is_that_of_a_plain_loop():
    cost = RNG.random((7, 5))
    total, steps = np.full((8, 6), np.inf), np.zeros((8, 6))
    total[0, 0] = 0
    for i in range(1, 8):
        for j in range(1, 6):
            before = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda at: total[at])
            total[i, j], steps[i, j] = total[before] + cost[i - 1, j - 1], steps[before] + 1
    assert alignment_cost(cost) == pytest.approx(total[7, 5] / steps[7, 5])


def test_distortion_is_nothing_for_a_slower_copy_and_grows_with_the_difference():
    one = cepstra(RNG.normal(0, 1, (20, 40)))
    slow = np.repeat(one, 2, axis=0)
    assert distortion(one, slow) == pytest.approx(0, abs=1e-6)
    assert distortion(one, one + 0.1) == pytest.approx(10 / np.log(10) * np.sqrt(2 * 13) * 0.1, rel=1e-6)
    assert shape(one).shape == shape(slow[:1]).shape == (8 * 13,)
