"""Hybrid fusion: both ways to join an early and a late path."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.fusion.hybrid import JOINS, Hybrid
from tests.fusion.cases import inputs
from tests.fusion.parity import alone, draw, shaken

WIDTH = 6


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(), join=st.sampled_from(JOINS))
def test_absent_inputs_give_finite_results(tokens, join):
    assert alone(shaken(Hybrid(list(tokens), WIDTH, join=join, heads=2)), tokens).isfinite().all()


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_parameter_is_trained(join, count):
    fusion = Hybrid([f"i{m}" for m in range(count)], WIDTH, join=join, heads=2).double()
    alone(fusion, draw([2] * count, torch.ones(4, count, dtype=torch.bool))).square().sum().backward()
    untrained = [n for n, p in fusion.named_parameters() if p.grad is None or not p.grad.any()]
    assert [n for n in untrained if not n.endswith("key.bias")] == []


@pytest.mark.parametrize(("bias", "path"), [(50.0, "early"), (-50.0, "late")])
def test_an_open_gate_is_the_early_path_and_a_closed_one_the_late(bias, path):
    fusion = shaken(Hybrid(["i0", "i1"], WIDTH))
    tokens = draw([2, 3], torch.ones(3, 2, dtype=torch.bool))
    with torch.no_grad():
        fusion.gate.bias.fill_(bias)
        before = alone(fusion, tokens)
        other = fusion.towers if path == "early" else fusion.early
        for parameter in other.parameters():
            parameter.zero_()
        torch.testing.assert_close(alone(fusion, tokens), before)


def test_an_unknown_join_is_an_error():
    with pytest.raises(ValueError, match="one of gate, attention"):
        Hybrid(["a"], WIDTH, join="sum")
