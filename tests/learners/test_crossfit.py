"""Out of fold means out of fold: no row is judged by a learner that saw it, and settings are chosen on that alone."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse import registry
from polyfuse.learners.blocks import predict_scores
from polyfuse.learners.crossfit import cross_fit
from polyfuse.learners.folds import fold_numbers
from polyfuse.learners.loss import row_losses
from tests.learners.tables import FAST, TASKS, table, words

MEMORY = {"extra": True, "leaf": 1, "features": "sqrt", "trees": 20}  # it knows its own rows by heart


def fit(name, x_RF, target, task, classes, folds=5, **more):
    folds_R = fold_numbers(target, task, None, folds, 0)
    return cross_fit(name, [x_RF], target, task, classes, folds_R, seed=0, **more)


def test_a_learner_that_knows_rows_by_heart_is_at_chance_out_of_fold():
    rng = np.random.default_rng(0)
    x_RF, target = rng.normal(size=(300, 5)).astype(np.float32), rng.integers(0, 2, 300)
    found = fit("forest", x_RF, target, "category", 2, settings=[MEMORY])
    assert (predict_scores(found.learner, [x_RF]).argmax(1) == target).mean() == 1
    assert abs((found.scores_RC.argmax(1) == target).mean() - 0.5) < 0.1
    assert found.loss > 0.68  # nor does its confidence promise more


def test_groups_kept_together_do_not_tell_one_row_of_the_other():
    rng = np.random.default_rng(0)
    x_RF, target = rng.normal(size=(60, 5)).astype(np.float32), rng.integers(0, 2, 60)
    x_RF, target, groups = np.tile(x_RF, (5, 1)), np.tile(target, 5), np.tile(np.arange(60), 5)
    for given_groups, low, high in ((None, 0.95, 1.0), (groups, 0.2, 0.75)):
        folds_R = fold_numbers(target, "category", given_groups, 5, 0)
        found = cross_fit("forest", [x_RF], target, "category", 2, folds_R, seed=0, settings=[MEMORY])
        assert low <= (found.scores_RC.argmax(1) == target).mean() <= high


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", list(registry.LEARNERS))
def test_what_comes_back_belongs_together(name, task):
    x_RF, target, classes = table(task)
    found = fit(name, x_RF, target, task, classes, settings=[FAST[name]])
    assert found.scores_RC.shape == (60, classes)
    assert np.isfinite(found.scores_RC).all()
    assert found.loss == pytest.approx(row_losses(found.scores_RC, target, task).mean())
    assert float(found.learner.temperature) == pytest.approx(found.temperature)
    plain = registry.learner(name).fitted([x_RF], target, task, classes, seed=0, **found.setting)
    np.testing.assert_allclose(
        predict_scores(found.learner, [x_RF]), predict_scores(plain, [x_RF]) / found.temperature, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", list(registry.LEARNERS))
def test_a_class_of_one_row_is_unlikely_but_possible(name):
    """Held out, it is absent from the rows that train."""
    x_RF, target, _ = table("category", 30, classes=2)
    target[7] = 2
    found = fit(name, x_RF, target, "category", 3, settings=[FAST[name]])
    share_RC = np.exp(found.scores_RC) / np.exp(found.scores_RC).sum(1, keepdims=True)
    assert np.isfinite(found.scores_RC).all()
    assert 0 < share_RC[7, 2] < 0.2
    assert np.isfinite(found.loss)


def test_rows_outside_the_folds_always_train_and_are_never_judged():
    x_RF, target, classes = table("category", 90)
    folds_R = fold_numbers(target, "category", None, 3, 0)
    folds_R[::3] = -1
    found = cross_fit("linear", [x_RF], target, "category", classes, folds_R, seed=0)
    assert np.isnan(found.scores_RC[::3]).all()
    assert np.isfinite(found.scores_RC[folds_R >= 0]).all()


def test_noise_alone_chooses_the_strongest_penalty():
    rng = np.random.default_rng(1)
    x_RF, target = rng.normal(size=(200, 20)).astype(np.float32), rng.normal(size=200)
    found = fit("linear", x_RF, target, "number", 1)
    assert found.setting["strength"] == registry.learner("linear").candidates("number", 200, 20, 1)[0]["strength"]


def test_a_deadline_ends_it():
    x_RF, target, classes = table("category", 300)
    assert fit("forest", x_RF, target, "category", classes, deadline=time.monotonic()) is None
    started = time.monotonic()
    found = fit("forest", x_RF, target, "category", classes, deadline=started + 4)
    assert found is None or time.monotonic() - started < 8


def test_no_setting_for_such_a_size_is_no_result():
    x_RF, target, classes = table("category", 50)
    assert fit("boosting", x_RF, target, "category", classes) is None


def test_words_beside_columns_choose_their_weight():
    x_RF, target, classes = table("category")
    folds_R = fold_numbers(target, "category", None, 3, 0)
    found = cross_fit("linear", [words(), x_RF], target, "category", classes, folds_R, seed=0)
    assert found.setting["dense"] in (1.0, 3.0)
    with pytest.raises(ValueError, match="no row is trained on"):
        cross_fit("linear", [x_RF], target, "category", classes, np.zeros(60, int), seed=0)


def test_the_temperature_moves_with_the_module():
    x_RF, target, classes = table("category")
    found = fit("linear", x_RF, target, "category", classes)
    assert "temperature" in found.learner.state_dict()
    assert isinstance(found.learner.temperature, torch.Tensor)


# --- folds ------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    task=st.sampled_from(TASKS),
    rows=st.integers(0, 40),
    groups=st.one_of(st.none(), st.integers(1, 12)),
    k=st.integers(1, 6),
    seed=st.integers(0, 50),
)
def test_folds_cover_all_rows_and_part_no_group(task, rows, groups, k, seed):
    rng = np.random.default_rng(seed)
    targets = {
        "category": rng.integers(0, 3, rows),
        "labels": rng.integers(0, 2, (rows, 3)),
        "number": rng.normal(size=rows),
    }
    groups_R = None if groups is None else rng.integers(0, groups, rows)
    units = rows if groups_R is None else len(np.unique(groups_R))
    folds_R = fold_numbers(targets[task], task, groups_R, k, seed)
    if min(k, units) < 2:
        assert folds_R is None
        return
    assert folds_R.shape == (rows,)
    assert np.unique(folds_R).tolist() == list(range(min(k, units)))
    if groups_R is not None:
        assert all(len(np.unique(folds_R[groups_R == g])) == 1 for g in groups_R)
    assert np.array_equal(folds_R, fold_numbers(targets[task], task, groups_R, k, seed))


@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=5), k=st.integers(2, 5), seed=st.integers(0, 50))
def test_every_class_is_spread_over_the_folds(counts, k, seed):
    target = np.repeat(np.arange(len(counts)), counts)
    folds_R = fold_numbers(target, "category", None, k, seed)
    if folds_R is None:
        return
    sizes = np.bincount(folds_R)
    assert sizes.max() - sizes.min() <= 1
    for code in range(len(counts)):
        of_class = np.bincount(folds_R[target == code], minlength=len(sizes))
        assert of_class.max() - of_class.min() <= 1


def test_groups_of_unequal_size_make_folds_of_about_equal_size_and_classes():
    rng = np.random.default_rng(0)
    groups_R = rng.integers(0, 40, 2000) ** 2 // 40
    target = (groups_R % 4 + rng.integers(0, 2, 2000)) % 4
    folds_R = fold_numbers(target, "category", groups_R, 5, 0)
    assert np.bincount(folds_R).max() < 1.3 * np.bincount(folds_R).min()
    shares = np.array([[(target[folds_R == f] == c).mean() for c in range(4)] for f in range(5)])
    assert np.ptp(shares, 0).max() < 0.2
