"""One of several classes: weights, smoothing, temperature, and labels of their own type."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from polyfuse.heads.category import Category
from polyfuse.records import Batch, Cells


def head(classes=("a", "b", "c"), counts=(8, 1, 1), **keywords):
    torch.manual_seed(0)
    return Category(name="y", width=4, classes=list(classes), counts=list(counts), **keywords)


def batch(target):
    rows = len(target)
    cells = Cells({"target": torch.tensor(target)}, torch.arange(rows)[:, None])
    return Batch({}, {"y": cells}, torch.arange(rows), torch.ones(rows))


SCORES = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 3.0]])


def test_the_loss_is_cross_entropy():
    expected = F.cross_entropy(SCORES, torch.tensor([0, 1]), reduction="none")
    torch.testing.assert_close(head().loss_of(SCORES, batch([0, 1])), expected)


def test_balanced_classes_weigh_alike_in_all():
    plain, balanced = head(), head(class_weight="balanced")
    rows = [0] * 8 + [1] + [2]
    loss_B = balanced.loss_of(torch.zeros(10, 3), batch(rows))
    shares = [loss_B[torch.tensor(rows) == k].sum().item() for k in range(3)]
    assert shares == pytest.approx([shares[0]] * 3)
    assert loss_B.sum().item() == pytest.approx(plain.loss_of(torch.zeros(10, 3), batch(rows)).sum().item())


def test_smoothing_asks_for_less_than_certainty():
    sure = torch.tensor([[50.0, 0.0, 0.0]])
    assert head().loss_of(sure, batch([0])).item() < 1e-6
    assert head(label_smoothing=0.1).loss_of(sure, batch([0])).item() > 1


def test_temperature_moves_probabilities_and_no_decision():
    made = head()
    before = made.decode(SCORES)
    made.set_temperature(4.0)
    after = made.decode(SCORES)
    assert before.value == after.value == ["a", "c"]
    assert (after.extra["confidence"] < before.extra["confidence"]).all()
    assert torch.equal(after.scores, SCORES)
    np.testing.assert_allclose(after.extra["probabilities"], (SCORES / 4).softmax(-1).numpy(), rtol=1e-6)
    np.testing.assert_allclose(after.extra["probabilities"].sum(-1), 1, rtol=1e-6)


@pytest.mark.parametrize("classes", [(False, True), (0, 7), ("no", "yes"), (1, 2.5)])
def test_labels_keep_their_type(classes):
    value = head(classes, (1, 1)).decode(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).value
    assert [(type(v), v) for v in value] == [(type(c), c) for c in classes]


def test_unknown_keywords_are_named():
    with pytest.raises(ValueError, match="found 'some'"):
        head(class_weight="some")
    with pytest.raises(ValueError, match="found 'sum'"):
        head(pool="sum")
