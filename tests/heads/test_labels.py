"""Sets of labels: the threshold, the weight of rare labels, and rows without any."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from polyfuse.heads.labels import Labels
from polyfuse.records import Batch, Cells

SCORES = torch.tensor([[3.0, -3.0, 0.5], [-3.0, -3.0, -3.0]])


def head(**keywords):
    torch.manual_seed(0)
    return Labels(name="y", width=4, classes=["a", 2, "c"], counts=[100, 50, 1], **keywords)


def batch(target):
    rows = len(target)
    cells = Cells({"target": torch.tensor(target)}, torch.arange(rows)[:, None])
    return Batch({}, {"y": cells}, torch.arange(rows), torch.ones(rows))


def test_the_loss_is_the_mean_over_labels():
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    expected = F.binary_cross_entropy_with_logits(SCORES, target, reduction="none").mean(-1)
    torch.testing.assert_close(head().loss_of(SCORES, batch(target.tolist())), expected)


def test_balance_raises_the_yes_of_rare_labels_at_most_tenfold():
    rare, common, none = [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]
    zeros = torch.zeros(1, 3)

    def change(target):
        balanced = head(class_weight="balanced").loss_of(zeros, batch(target))
        return balanced.item() / head().loss_of(zeros, batch(target)).item()

    assert change(rare) == pytest.approx((10 + 2) / 3)
    assert change(common) == change(none) == pytest.approx(1)


def test_the_threshold_decides():
    assert head().decode(SCORES).value == [["a", "c"], []]
    assert head(threshold=0.7).decode(SCORES).value == [["a"], []]
    assert head(threshold=0.01).decode(SCORES).value == [["a", 2, "c"]] * 2


def test_quality_is_the_f1_of_the_row():
    target = [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert head().quality(SCORES, batch(target)).tolist() == pytest.approx([2 / 3, 1])


def test_the_separator_goes_to_the_transform():
    assert Labels.wants(separator=";").keywords == {"separator": ";"}
    with pytest.raises(ValueError, match="class_weight"):
        head(class_weight="some")
