"""Multi-label metrics equal scikit-learn, and their weighted form equals repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from polyfuse.metrics import multilabel as ours
from polyfuse.metrics.classification import macro_f1


def case(seed: int, rows: int = 150, labels: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.random((rows, labels)).round(2)  # rounded, so that ties occur
    target = rng.random((rows, labels)) < scores
    target[:, -1] = False  # a label that never occurs
    return target, scores > 0.5, scores


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_scikit_learn(seed):
    target, predicted, scores = case(seed)
    counts = ours.label_counts(target, predicted)
    np.testing.assert_allclose(ours.micro_f1(counts), sk.f1_score(target, predicted, average="micro"))
    np.testing.assert_allclose(macro_f1(counts), sk.f1_score(target, predicted, average="macro", zero_division=np.nan))
    np.testing.assert_allclose(ours.exact_match(target, predicted), sk.accuracy_score(target, predicted))
    occurring = target[:, :-1], scores[:, :-1]
    np.testing.assert_allclose(
        ours.mean_average_precision(scores, target), sk.average_precision_score(*occurring, average="macro")
    )


@pytest.mark.parametrize("seed", range(3))
def test_weights_mean_repeated_rows(seed):
    target, predicted, scores = case(seed, rows=40)
    weights = np.random.default_rng(seed).integers(0, 4, size=(5, 40)).astype(float)

    def measure(t, p, s, w):
        counts = ours.label_counts(t, p, w)
        return [ours.micro_f1(counts), ours.exact_match(t, p, w), ours.mean_average_precision(s, t, w)]

    together = np.stack(measure(target, predicted, scores, weights), axis=-1)
    for row, result in zip(weights.astype(int), together, strict=True):
        repeated = np.repeat(np.arange(40), row)
        np.testing.assert_allclose(result, measure(target[repeated], predicted[repeated], scores[repeated], None))


def test_no_label_anywhere_is_undefined():
    nothing = np.zeros((4, 3), dtype=bool)
    assert np.isnan(ours.micro_f1(ours.label_counts(nothing, nothing)))
    assert np.isnan(ours.mean_average_precision(np.zeros((4, 3)), nothing))
