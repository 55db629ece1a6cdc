"""Deep set: order of tokens, number of tokens, and which input said what."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.fusion.deepset import POOLS, DeepSet
from polyfuse.records import Tokens
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH, alone, draw, shaken


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(), pool=st.sampled_from(POOLS), seed=st.integers(0, 100))
def test_the_order_of_tokens_does_not_matter(tokens, pool, seed):
    fusion = shaken(DeepSet(list(tokens), WIDTH, pool=pool))
    draw_order = torch.Generator().manual_seed(seed)
    mixed = {}
    for name, t in tokens.items():
        order = torch.randperm(t.x_BTD.shape[1], generator=draw_order)
        mixed[name] = Tokens(t.x_BTD[:, order], t.mask_BT[:, order])
    torch.testing.assert_close(alone(fusion, mixed), alone(fusion, tokens))


def test_it_depends_on_which_input_said_what():
    fusion = shaken(DeepSet(["i0", "i1"], WIDTH))
    tokens = draw([2, 2], torch.ones(3, 2, dtype=torch.bool))
    swapped = {"i0": tokens["i1"], "i1": tokens["i0"]}
    assert (alone(fusion, tokens) - alone(fusion, swapped)).abs().max() > 1e-3


def test_an_unknown_pool_is_an_error():
    with pytest.raises(ValueError, match="one of mean, max"):
        DeepSet(["a"], WIDTH, pool="sum")
