"""EmbraceNet: dimensions are drawn from present inputs in training, averaged over them otherwise."""

from __future__ import annotations

import torch
from hypothesis import given, settings

from polyfuse.fusion.embrace import Embrace
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH, alone, draw, shaken


def docked(fusion, tokens):
    pooled_BMD, present_BM = fusion.pool(tokens)
    docks = zip(fusion.dock, pooled_BMD.unbind(1), strict=True)
    return torch.stack([dock(x_BD).relu() for dock, x_BD in docks], 1), present_BM


@settings(max_examples=15, deadline=None)
@given(tokens=inputs())
def test_each_dimension_is_taken_from_one_present_input(tokens):
    fusion = shaken(Embrace(list(tokens), WIDTH, depth=0)).train()
    docked_BMD, present_BM = docked(fusion, tokens)
    found_BD = alone(fusion, tokens)
    same_BMD = (found_BD[:, None] == docked_BMD) & present_BM[..., None]
    assert same_BMD.any(1)[present_BM.any(1)].all()
    assert not found_BD[~present_BM.any(1)].any()


@settings(max_examples=15, deadline=None)
@given(tokens=inputs())
def test_shares_are_whole_in_training_and_equal_otherwise(tokens):
    fusion = shaken(Embrace(list(tokens), WIDTH))
    docked_BMD, present_BM = docked(fusion, tokens)
    for training in (True, False):
        share_BMD = fusion.train(training).shares(docked_BMD, present_BM)
        torch.testing.assert_close(share_BMD.sum(1).double(), present_BM.any(1)[:, None].expand(-1, WIDTH).double())
        assert not share_BMD[~present_BM].any()
        assert not training or set(share_BMD.unique().tolist()) <= {0.0, 1.0}


def test_evaluation_is_the_expected_draw():
    torch.manual_seed(0)
    fusion = shaken(Embrace(["i0", "i1", "i2"], WIDTH, depth=0))
    tokens = draw([2, 2, 2], torch.tensor([[True, True, True], [True, False, True]]))
    expected = alone(fusion, tokens)
    fusion.train()
    mean = torch.stack([alone(fusion, tokens) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, expected, atol=0.1, rtol=0.05)
