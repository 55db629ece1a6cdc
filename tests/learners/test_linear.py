"""The linear learner equals scikit-learn's, on dense, sparse and mixed columns, and exports with bags."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression, Ridge

from polyfuse.layers.features import Bag, rows, width
from polyfuse.learners import linear
from polyfuse.learners.base import dense_rows
from polyfuse.learners.blocks import concat_batches, predict_scores, to_bag, to_sparse, to_tensors
from polyfuse.learners.linear import Linear
from tests.learners.tables import table, words


def fitted(blocks, target, task, classes, strength=3.0, dense=1.0):
    return Linear.fitted(blocks, target, task, classes, seed=0, strength=strength, dense=dense, tolerance=1e-9)


def joined(blocks, dense=1.0):
    """What the learner sees: dense blocks standardised and divided by the root of their width, sparse ones as given."""
    parts = [
        block if hasattr(block, "indptr") else csr_matrix(dense_rows([block])[0] * dense / np.sqrt(block.shape[1]))
        for block in blocks
    ]
    return hstack(parts).toarray().astype(np.float64)


def logistic(x_RF, target, strength=3.0):
    return LogisticRegression(C=strength, tol=1e-10, max_iter=10_000, solver="newton-cg").fit(x_RF, target)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("kind", ["dense", "sparse", "mixed"])
def test_equal_to_logistic_regression(kind, classes):
    x_RF, target, _ = table("category", classes=classes)
    blocks = {"dense": [x_RF], "sparse": [words()], "mixed": [words(), x_RF, words(seed=1)]}[kind]
    expected_RC = logistic(joined(blocks, 2.0), target).predict_proba(joined(blocks, 2.0))
    found_RC = np.exp(predict_scores(fitted(blocks, target, "category", classes, dense=2.0), blocks))
    np.testing.assert_allclose(found_RC, expected_RC, atol=1e-5)


def test_equal_to_one_logistic_regression_per_label():
    x_RF, target_RC, classes = table("labels")
    found_RC = predict_scores(fitted([x_RF], target_RC, "labels", classes), [x_RF])
    for found_R, target_R in zip(found_RC.T, target_RC.T, strict=True):
        expected = logistic(joined([x_RF]), target_R)
        np.testing.assert_allclose(found_R, expected.decision_function(joined([x_RF])), atol=1e-4)


@pytest.mark.parametrize("closed", [2000, 0], ids=["closed form", "steps"])
def test_equal_to_ridge_regression(closed, monkeypatch):
    monkeypatch.setattr(linear, "CLOSED", closed)
    x_RF, target, _ = table("number")
    blocks = [words(), x_RF]
    x = joined(blocks)
    expected = Ridge(alpha=1 / 3).fit(x, target).predict(x)
    np.testing.assert_allclose(predict_scores(fitted(blocks, target, "number", 1), blocks)[:, 0], expected, atol=1e-5)


def test_a_path_gives_what_each_strength_alone_gives():
    x_RF, target, classes = table("category")
    settings = [{"strength": s, "tolerance": 1e-9} for s in (0.1, 1.0, 10.0)]
    path = Linear.path([x_RF], target, "category", classes, settings, seed=0)
    for setting, learner in zip(settings, path, strict=True):
        alone = Linear.fitted([x_RF], target, "category", classes, seed=0, **setting)
        np.testing.assert_allclose(predict_scores(learner, [x_RF]), predict_scores(alone, [x_RF]), atol=1e-4)


def test_a_bag_is_its_sparse_rows():
    matrix = words()
    bag = to_bag(matrix)
    assert (rows(bag), width(bag)) == matrix.shape
    assert (to_sparse(bag) != matrix).nnz == 0
    assert (concat_batches([to_bag(matrix[:20]), to_bag(matrix[20:])]) != matrix).nnz == 0
    twice = Bag(torch.tensor([[2, 2, 0]]), torch.tensor([[0.5, 0.25, 0.0]]), 4)
    assert to_sparse(twice).toarray().tolist() == [[0, 0, 0.75, 0]]


def test_exports_with_a_bag_beside_columns_at_any_batch_and_length():
    x_RF, target, classes = table("category")
    matrix = words()
    learner = fitted([matrix, x_RF], target, "category", classes)
    batch, length = torch.export.Dim("batch", min=1, max=99), torch.export.Dim("length", min=1, max=99)
    shapes = ([[{0: batch, 1: length}, {0: batch, 1: length}, None], {0: batch}],)
    program = torch.export.export(learner, (to_tensors([matrix[5:9], x_RF[5:9]]),), dynamic_shapes=shapes).module()
    for part in (slice(3, 4), slice(0, 2), slice(10, 17)):
        blocks = to_tensors([matrix[part], x_RF[part]])
        torch.testing.assert_close(program(blocks), learner(blocks), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mixed", [False, True])
def test_weights_of_rows_are_scikit_learns(mixed):
    x_RF, target, classes = table("category", 80)
    weights = np.random.default_rng(1).exponential(size=80)
    share = weights / weights.mean()
    blocks = [words(80), x_RF] if mixed else [x_RF]
    wide_RF = joined(blocks)
    three = Linear.fitted(blocks, target, "category", classes, seed=0, weights=weights, strength=3.0, tolerance=1e-9)
    expected = LogisticRegression(C=3.0, tol=1e-10, max_iter=10_000).fit(wide_RF, target, share)
    found_RC = np.exp(predict_scores(three, blocks))
    np.testing.assert_allclose(found_RC, expected.predict_proba(wide_RF), atol=2e-4)
    yes = (target > 0).astype(np.int64)
    two = Linear.fitted(blocks, yes, "category", 2, seed=0, weights=weights, strength=3.0, tolerance=1e-9)
    expected = LogisticRegression(C=3.0, tol=1e-10, max_iter=10_000).fit(wide_RF, yes, share)
    np.testing.assert_allclose(np.exp(predict_scores(two, blocks)), expected.predict_proba(wide_RF), atol=2e-4)


@pytest.mark.parametrize("closed", [0, linear.CLOSED])
def test_weights_of_rows_are_scikit_learns_for_numbers(closed, monkeypatch):
    monkeypatch.setattr(linear, "CLOSED", closed)
    x_RF, target, _ = table("number", 80)
    weights = np.random.default_rng(1).exponential(size=80)
    found = Linear.fitted([x_RF], target, "number", 1, seed=0, weights=weights, strength=3.0, tolerance=1e-9)
    expected = Ridge(alpha=1 / 3).fit(joined([x_RF]), target, weights / weights.mean()).predict(joined([x_RF]))
    np.testing.assert_allclose(predict_scores(found, [x_RF])[:, 0], expected, atol=1e-4)
