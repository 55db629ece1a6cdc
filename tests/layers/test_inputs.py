"""What fusions share: pooled inputs, stand-ins for absent ones, layers that keep their scale, inputs by name."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from polyfuse.layers.inputs import NormedMeans, choose_input, linear, mean_tokens, pad_absent_rows
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH


@settings(max_examples=15, deadline=None)
@given(tokens=inputs())
def test_absent_inputs_are_exactly_zero(tokens):
    for pooled_BMD, present_BM in (
        mean_tokens(tokens, list(tokens)),
        NormedMeans(list(tokens), WIDTH).double()(tokens),
    ):
        assert not pooled_BMD[~present_BM].any()
        assert pooled_BMD[present_BM].any() or not present_BM.any()


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(1, 1))
def test_a_blank_stands_in_where_and_only_where_nothing_is(tokens):
    before = tokens["i0"]
    after = pad_absent_rows(before)
    assert after.present_B.all()
    assert torch.equal(after.mask_BT[before.present_B], before.mask_BT[before.present_B])
    assert (after.mask_BT[~before.present_B].sum(1) == 1).all()
    assert not after.x_BTD[~before.mask_BT].any()


def test_linear_keeps_the_scale_it_is_told():
    torch.manual_seed(0)
    x = torch.randn(500, 64)
    assert 0.9 < linear(64, 100)(x).std() < 1.1
    assert 0.45 < linear(64, 100, scale=0.5, bias=False)(x).std() < 0.55


def test_an_input_may_be_called_auto():
    assert choose_input(["a", "auto"], "auto") == "auto"
    assert choose_input(["a", "b"], "auto") == "a"
    with pytest.raises(ValueError, match="unknown input"):
        choose_input(["a", "b"], "c")
