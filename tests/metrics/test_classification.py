"""Every classification metric equals scikit-learn and torchmetrics, and its weighted form equals repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.functional import classification as tm

from polyfuse.metrics import classification as ours


def case(seed: int, classes: int, rows: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(rows, classes)).round(1)  # rounded, so that ties occur
    target = np.where(rng.random(rows) < 0.5, scores.argmax(1), rng.integers(classes, size=rows))
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return target, probabilities.argmax(1), probabilities


SIZES = [(0, 2), (1, 3), (2, 10)]


@pytest.mark.parametrize(("seed", "classes"), SIZES)
def test_equal_to_scikit_learn(seed, classes):
    target, predicted, p = case(seed, classes)
    counts = ours.class_counts(target, predicted, classes)
    each = sk.precision_recall_fscore_support(target, predicted, labels=range(classes), zero_division=np.nan)
    np.testing.assert_allclose(ours.precision(counts), each[0])
    np.testing.assert_allclose(ours.recall(counts), each[1])
    np.testing.assert_allclose(ours.f1(counts), each[2])
    np.testing.assert_allclose(ours.accuracy(counts), sk.accuracy_score(target, predicted))
    np.testing.assert_allclose(ours.balanced_accuracy(counts), sk.balanced_accuracy_score(target, predicted))
    np.testing.assert_allclose(ours.macro_f1(counts), sk.f1_score(target, predicted, average="macro"))
    np.testing.assert_allclose(ours.weighted_f1(counts), sk.f1_score(target, predicted, average="weighted"))
    np.testing.assert_allclose(ours.log_loss(p, target), sk.log_loss(target, p))
    np.testing.assert_array_equal(
        ours.confusion_matrix(target, predicted, classes), sk.confusion_matrix(target, predicted)
    )


@pytest.mark.parametrize(("seed", "classes"), SIZES)
def test_equal_to_torchmetrics(seed, classes):
    target, predicted, p = case(seed, classes)
    counts = ours.class_counts(target, predicted, classes)
    y, yhat, scores = (torch.from_numpy(a) for a in (target, predicted, p))
    f1 = tm.multiclass_f1_score(yhat, y, classes, average="macro")
    np.testing.assert_allclose(ours.macro_f1(counts), f1, rtol=1e-5)
    recall = tm.multiclass_recall(yhat, y, classes, average="macro")
    np.testing.assert_allclose(ours.balanced_accuracy(counts), recall, rtol=1e-5)
    np.testing.assert_allclose(ours.macro_auroc(p, target), tm.multiclass_auroc(scores, y, classes), rtol=1e-5)


def test_auroc_and_brier_of_two_classes_equal_scikit_learn():
    target, _, p = case(3, 2)
    np.testing.assert_allclose(ours.auroc(p[:, 1], target == 1), sk.roc_auc_score(target, p[:, 1]))
    np.testing.assert_allclose(ours.brier(p, target), sk.brier_score_loss(target, p[:, 1]))


def test_brier_of_many_classes_is_the_squared_distance():
    target, _, p = case(4, 5)
    np.testing.assert_allclose(ours.brier(p, target), ((p - np.eye(5)[target]) ** 2).sum(1).mean())


@pytest.mark.parametrize(("seed", "classes"), SIZES)
def test_weights_mean_repeated_rows(seed, classes):
    target, predicted, p = case(seed, classes, rows=60)
    weights = np.random.default_rng(seed).integers(0, 4, size=(5, 60)).astype(float)

    def measure(t, q, p, w):
        c = ours.class_counts(t, q, classes, w)
        return [
            ours.accuracy(c), ours.balanced_accuracy(c), ours.macro_f1(c), ours.weighted_f1(c),
            ours.log_loss(p, t, w), ours.brier(p, t, w), ours.macro_auroc(p, t, w),
        ]  # fmt: skip

    together = np.stack(measure(target, predicted, p, weights), axis=-1)
    for row, result in zip(weights.astype(int), together, strict=True):
        repeated = np.repeat(np.arange(60), row)
        np.testing.assert_allclose(result, measure(target[repeated], predicted[repeated], p[repeated], None))


def test_a_class_that_nobody_has_or_predicts_is_left_out_of_the_means():
    target, predicted = np.array([0, 0, 1]), np.array([0, 1, 1])
    few, many = (ours.class_counts(target, predicted, size) for size in (2, 7))
    assert np.isnan(ours.f1(many)[2:]).all()
    assert ours.macro_f1(few) == ours.macro_f1(many)
    assert ours.balanced_accuracy(few) == ours.balanced_accuracy(many)


def test_auroc_with_one_side_only_is_undefined():
    assert np.isnan(ours.auroc(np.array([0.1, 0.2]), np.array([True, True])))


def test_log_loss_of_a_certain_mistake_is_finite():
    certain = np.array([[1.0, 0.0]], dtype=np.float32)
    assert 10 < ours.log_loss(certain, np.array([1])) < 20
