"""Late fusion: its three ways to combine, weights over present inputs, and ``mean`` as another name of one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse import registry
from polyfuse.fusion.late import Late
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH, alone, draw, pooled, shaken


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(), depth=st.integers(0, 2), seed=st.integers(0, 100))
def test_mean_is_late_with_the_mean(tokens, depth, seed):
    torch.manual_seed(seed)
    mean = registry.fusion("mean")(list(tokens), WIDTH, depth=depth).double().eval()
    torch.manual_seed(seed)
    late = Late(list(tokens), WIDTH, combine="mean", depth=depth).double().eval()
    assert type(mean) is Late
    assert mean.state_dict().keys() == late.state_dict().keys()
    assert torch.equal(alone(mean, tokens), alone(late, tokens))


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(), combine=st.sampled_from(["mean", "weighted"]))
def test_without_towers_it_is_an_average_of_pooled_inputs(tokens, combine):
    fusion = shaken(Late(list(tokens), WIDTH, combine=combine, depth=0))
    share = np.ones(len(tokens)) if fusion.weight_M is None else fusion.weight_M.exp().detach().numpy()
    found = alone(fusion, tokens).detach().numpy()
    for row in range(len(found)):
        there = [m for m, t in enumerate(tokens.values()) if t.present_B[row]]
        parts = [pooled(t.x_BTD.numpy(), t.mask_BT.numpy())[row] for t in tokens.values()]
        expected = sum((share[m] * parts[m] for m in there), np.zeros(WIDTH)) / max(share[there].sum(), 1e-9)
        np.testing.assert_allclose(found[row], expected, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(2))
def test_learned_weights_sum_to_one_over_present_inputs(tokens):
    fusion = shaken(Late(list(tokens), WIDTH, combine="weighted"))
    present_BM = torch.stack([t.present_B for t in tokens.values()], 1)
    weight_BM = fusion.weights(present_BM)
    torch.testing.assert_close(weight_BM.sum(1), present_BM.any(1).double())
    assert not weight_BM[~present_BM].any()


@pytest.mark.parametrize("combine", ["concat", "mean", "weighted"])
def test_every_combination_trains_every_parameter(combine):
    for count in (1, 3):
        fusion = Late([f"i{m}" for m in range(count)], WIDTH, combine=combine).double()
        alone(fusion, draw([2] * count, torch.ones(3, count, dtype=torch.bool))).square().sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in fusion.parameters())


def test_an_unknown_combination_is_an_error():
    with pytest.raises(ValueError, match="one of concat, mean, weighted"):
        Late(["a"], WIDTH, combine="median")
