"""A number: the standardised loss, units, and predictions that stay near what training saw."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from polyfuse.data.cells.source import Limits
from polyfuse.data.cells.targets import Number as Target
from polyfuse.heads.number import MARGIN, Number
from polyfuse.records import Batch, Cells

PRICES = [math.exp(n / 4) for n in range(40)]


def head(cells, scale="auto", **keywords):
    torch.manual_seed(0)
    target = Target(scale=scale)
    target.fit(cells, {"price": "number"}, Limits())
    return Number(name="y", width=4, **target.facts(), **keywords), target


def batch(target):
    rows = len(target)
    cells = Cells({"target": torch.tensor(target)}, torch.arange(rows)[:, None])
    return Batch({}, {"y": cells}, torch.arange(rows), torch.ones(rows))


@pytest.mark.parametrize(
    ("cells", "scale", "log"),
    [
        (PRICES, "auto", "log"),
        ([0.0, *PRICES], "auto", "log1p"),
        (PRICES, "linear", "none"),
        ([-1.0, 5], "auto", "none"),
    ],
)
def test_the_way_back_to_units_is_the_inverse_of_the_way_there(cells, scale, log):
    made, target = head(cells, scale)
    assert made.log == log
    scores = torch.from_numpy(target.collate(target.encode(cells, Limits()))["target"])[:, None]
    assert made.decode(scores).value == pytest.approx(cells, rel=1e-4, abs=1e-6 * max(cells))


@pytest.mark.parametrize("cells", [PRICES, [0.0, *PRICES], [-100.0, 100.0]])
def test_wild_scores_stay_near_the_training_range(cells):
    made, _ = head(cells)
    low, high = made.decode(torch.tensor([[-1e9], [1e9]])).value
    ends = torch.tensor(made.bounds, dtype=torch.float64) + torch.tensor([-MARGIN, MARGIN])
    assert [low, high] == pytest.approx(made.decode(ends[:, None]).value)
    assert low <= min(cells) <= max(cells) <= high < 20 * max(cells)
    assert low >= 0 or min(cells) < 0


@pytest.mark.parametrize(("loss", "function"), [("mse", F.mse_loss), ("l1", F.l1_loss), ("huber", F.huber_loss)])
def test_losses(loss, function):
    made, _ = head(PRICES, loss=loss)
    scores, target = torch.tensor([[0.5], [3.0]]), [0.0, 0.0]
    expected = function(scores[:, 0], torch.tensor(target), reduction="none")
    torch.testing.assert_close(made.loss_of(scores, batch(target)), expected)
    with pytest.raises(ValueError, match="found 'cubic'"):
        head(PRICES, loss="cubic")


def test_quality_is_minus_the_squared_error():
    made, _ = head(PRICES)
    assert made.quality(torch.tensor([[2.0]]), batch([0.5])).tolist() == [-2.25]
