"""Weights of members: they sum to 1, find the better member, leave noise out, and share what absent members leave."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.learners.loss import row_losses
from polyfuse.learners.selection import blend_scores, select_weights

TASKS = ("category", "labels", "number")


def members(task, noises, rows=600, classes=3, seed=0):
    """Scores that know the target up to that much noise, each on its own; infinite noise knows nothing."""
    rng = np.random.default_rng(seed)
    targets = {
        "category": rng.integers(0, classes, rows),
        "labels": (rng.random((rows, classes)) < 0.4).astype(float),
        "number": rng.normal(size=rows),
    }
    target = targets[task]
    clean = {
        "category": lambda: 2.0 * np.eye(classes)[target],
        "labels": lambda: 4.0 * target - 2,
        "number": lambda: target[:, None],
    }[task]()
    found = [(clean if np.isfinite(n) else 0) + min(n, 1.5) * rng.normal(size=clean.shape) for n in noises]
    if task == "number":  # as least squares would have them: the less one knows, the nearer to the mean
        found = [score / (1 + min(n, 1.5) ** 2) for score, n in zip(found, noises, strict=True)]
    return found, target


def everywhere(scores):
    return np.ones((len(scores), len(scores[0])), bool)


@settings(max_examples=30, deadline=None)
@given(
    task=st.sampled_from(TASKS),
    noises=st.lists(st.floats(0.1, 3), min_size=1, max_size=5),
    rows=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_weights_sum_to_one_whoever_is_absent(task, noises, rows, seed):
    scores, target = members(task, noises, rows, seed=seed)
    present_MR = np.random.default_rng(seed).random((len(noises), rows)) < 0.6
    for score, present_R in zip(scores, present_MR, strict=True):
        score[~present_R] = np.nan  # what an absent member says must not matter
    weights_M = select_weights(scores, present_MR, target, task)
    assert weights_M.shape == (len(noises),)
    assert (weights_M >= 0).all()
    assert weights_M.sum() == pytest.approx(1)
    assert np.isfinite(blend_scores(scores, present_MR, weights_M, task)).all()


@pytest.mark.parametrize("task", TASKS)
def test_the_better_member_counts_more_and_noise_nothing(task):
    scores, target = members(task, [0.5, 1.2, np.inf])
    weights_M = select_weights(scores, everywhere(scores), target, task)
    assert weights_M[0] > weights_M[1]
    assert weights_M[2] == 0


@pytest.mark.parametrize("task", TASKS)
def test_the_ensemble_is_no_worse_than_its_best_member_on_other_rows(task):
    scores, target = members(task, [1.0, 1.0, 1.3, np.inf], rows=2000)
    part = [s[:1000] for s in scores]
    weights_M = select_weights(part, everywhere(part), target[:1000], task)
    rest = [s[1000:] for s in scores]
    alone = min(row_losses(s, target[1000:], task).mean() for s in rest)
    assert row_losses(blend_scores(rest, everywhere(rest), weights_M, task), target[1000:], task).mean() < alone


def test_few_rows_lean_to_equal_weights_of_members_alike():
    """Greed alone leaves none or all of the weight to a member here and there."""
    off = []
    for seed in range(10):
        scores, target = members("number", [0.8, 0.8, 0.8], 12, seed=seed)
        off.append(np.abs(select_weights(scores, everywhere(scores), target, "number") - 1 / 3).max())
    assert np.median(off) < 0.1


def test_a_member_for_some_rows_helps_there_and_harms_nowhere():
    scores, target = members("number", [0.6, 0.6], rows=2000)
    present_MR = everywhere(scores)
    present_MR[1, ::2] = False
    weights_M = select_weights(scores, present_MR, target, "number")
    assert weights_M[1] > 0.3
    mixed_RC = blend_scores(scores, present_MR, weights_M, "number")
    np.testing.assert_allclose(mixed_RC[::2], scores[0][::2])
    losses_R = row_losses(mixed_RC, target, "number")
    assert losses_R[1::2].mean() < losses_R[::2].mean()


def test_the_seed_decides_and_time_is_short():
    scores, target = members("category", np.linspace(0.5, 2, 8), rows=10_000, classes=10)
    started = time.process_time()
    weights_M = select_weights(scores, everywhere(scores), target, "category")
    assert time.process_time() - started < 6  # under two on a machine that does nothing else
    assert np.array_equal(weights_M, select_weights(scores, everywhere(scores), target, "category"))


def test_no_member_is_an_error():
    with pytest.raises(ValueError, match="at least one member"):
        select_weights([], np.zeros((0, 3)), np.zeros(3), "number")
