"""Forests, boosted trees and support vectors say what scikit-learn's say; arrays stay within their bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import SVC, SVR

from polyfuse.learners import boosting, forest, svm
from polyfuse.learners.base import Problem, dense_rows
from polyfuse.learners.blocks import predict_scores, to_tensors
from polyfuse.learners.trees import round_down
from tests.learners.tables import FAST, table

tasks = pytest.mark.parametrize("task", ["category", "labels", "number"])


@given(threshold=st.floats(-(2.0**99), 2.0**99), cell=st.floats(-(2.0**99), 2.0**99, width=32))
def test_a_rounded_threshold_parts_float32_cells_as_before(threshold, cell):
    rounded = round_down(np.array([threshold]))[0]
    assert (np.float64(cell) <= threshold) == (np.float32(cell) <= rounded)


@tasks
@pytest.mark.parametrize("extra", [True, False])
def test_a_forest_equals_its_trees(task, extra):
    x_RF, target, classes = table(task, 150)
    setting = {"extra": extra, "leaf": 2, "features": 0.7, "trees": 12}
    learner = forest.Forest.fitted([x_RF], target, task, classes, seed=1, **setting)
    z_RF = dense_rows([x_RF])[0]
    model = forest._forest(Problem.of(target, task, classes), setting, len(x_RF), 1).fit(z_RF, target)
    expected = model.predict_proba(z_RF) if task == "category" else model.predict(z_RF).reshape(len(x_RF), -1)
    np.testing.assert_allclose(learner.mean(to_tensors([x_RF])).numpy(), expected, atol=1e-5)


def test_a_forest_of_many_rows_stays_within_its_megabytes(monkeypatch):
    monkeypatch.setattr(forest, "MEGABYTES", 0.1)
    x_RF, target, classes = table("category", 2000, noise=2.0)
    learner = forest.Forest.fitted([x_RF], target, "category", classes, seed=0, **FAST["forest"])
    assert sum(b.numel() * b.element_size() for b in learner.buffers()) < 0.11e6


@pytest.mark.parametrize(("task", "classes"), [("category", 2), ("category", 4), ("labels", 3), ("number", 1)])
def test_boosting_equals_scikit_learn(task, classes):
    x_RF, target, classes = table(task, 200, classes=classes)
    shape = {"rate": 0.1, "leaves": 6, "leaf": 5}
    learner = boosting.Boosting.fitted([x_RF], target, task, classes, seed=1, rounds=15, **shape)
    z_RF, problem = dense_rows([x_RF])[0], Problem.of(target, task, classes)
    found_RC = predict_scores(learner, [x_RF])
    columns = target.T if task == "labels" else [target]
    models = [boosting._model(problem, shape, 1).set_params(max_iter=15).fit(z_RF, t) for t in columns]
    if task == "category":
        np.testing.assert_allclose(np.exp(found_RC), models[0].predict_proba(z_RF), atol=1e-5)
    elif task == "labels":
        expected_RC = np.stack([m.predict_proba(z_RF)[:, 1] for m in models], 1)
        np.testing.assert_allclose(1 / (1 + np.exp(-found_RC)), expected_RC, atol=1e-5)
    else:
        np.testing.assert_allclose(found_RC[:, 0], models[0].predict(z_RF), atol=1e-5)


def test_boosting_goes_on_to_what_more_rounds_alone_give():
    x_RF, target, classes = table("category", 200)
    shape = {"rate": 0.1, "leaves": 6, "leaf": 5}
    steps = [{**shape, "rounds": n} for n in (3, 10)]
    *_, last = boosting.Boosting.path([x_RF], target, "category", classes, steps, seed=0)
    alone = boosting.Boosting.fitted([x_RF], target, "category", classes, seed=0, rounds=10, **shape)
    np.testing.assert_allclose(predict_scores(last, [x_RF]), predict_scores(alone, [x_RF]), atol=1e-5)


@pytest.mark.parametrize("classes", [2, 4])
def test_pairs_of_classes_equal_scikit_learn(classes):
    x_RF, target, _ = table("category", 120, classes=classes, noise=1.0)
    learner = svm.SVM.fitted([x_RF], target, "category", classes, seed=0, cost=3.0, reach=1.0)
    z_RF = dense_rows([x_RF])[0]
    model = SVC(C=3.0, gamma=1.0 / 4, decision_function_shape="ovo").fit(z_RF, target)
    expected_RK = model.decision_function(z_RF).reshape(len(x_RF), -1)
    found_RK = learner.decisions(to_tensors([x_RF])).numpy()
    np.testing.assert_allclose(-found_RK if classes == 2 else found_RK, expected_RK, atol=2e-5)
    assert (predict_scores(learner, [x_RF]).argmax(1) == model.predict(z_RF)).mean() > 0.97


def test_support_vectors_of_labels_and_numbers_equal_scikit_learn():
    x_RF, target_RC, classes = table("labels", 120)
    z_RF = dense_rows([x_RF])[0]
    learner = svm.SVM.fitted([x_RF], target_RC, "labels", classes, seed=0, cost=2.0, reach=0.3)
    expected = [SVC(C=2.0, gamma=0.3 / 4).fit(z_RF, t).decision_function(z_RF) for t in target_RC.T]
    np.testing.assert_allclose(predict_scores(learner, [x_RF]), np.stack(expected, 1), atol=1e-5)
    _, number, _ = table("number", 120)
    learner = svm.SVM.fitted([x_RF], number, "number", 1, seed=0, cost=2.0, reach=0.3)
    expected = SVR(C=2.0, gamma=0.3 / 4).fit(z_RF, number).predict(z_RF)
    np.testing.assert_allclose(predict_scores(learner, [x_RF])[:, 0], expected, atol=1e-5)


@tasks
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999))
def test_scores_stay_finite_far_from_every_row(task, seed):
    x_RF, target, classes = table(task, 40, seed=seed)
    far_RF = np.float32([[1e30, -1e30, np.inf, np.nan]])
    for name, kind in (("svm", svm.SVM), ("forest", forest.Forest), ("boosting", boosting.Boosting)):
        learner = kind.fitted([x_RF], target, task, classes, seed=0, **FAST[name])
        assert np.isfinite(predict_scores(learner, [far_RF])).all()
