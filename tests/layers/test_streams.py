"""Streams joined: pooling, the summary token first, records kept, absent inputs."""

from __future__ import annotations

import pytest
import torch

from polyfuse.layers.pooling import masked_last, masked_mean
from polyfuse.layers.streams import Joined
from polyfuse.records import Tokens

WIDTH = 4


def drawn():
    masks = {"a": [[1, 0, 1], [0, 0, 0]], "b": [[0, 1], [1, 1]]}
    return {
        name: Tokens(torch.randn(2, len(m[0]), WIDTH), torch.tensor(m).bool(), (len(m[0]),))
        for name, m in masks.items()
    }


def test_the_last_real_token_and_zero_where_there_is_none():
    tokens = drawn()["a"]
    last_BD = masked_last(tokens.x_BTD, tokens.mask_BT)
    assert torch.equal(last_BD[0], tokens.x_BTD[0, 2])
    assert not last_BD[1].any()
    before = masked_last(tokens.x_BTD, torch.tensor([[True, True, False], [True, False, False]]))
    assert torch.equal(before, torch.stack([tokens.x_BTD[0, 1], tokens.x_BTD[1, 0]]))


@pytest.mark.parametrize(("pool", "function"), [("mean", masked_mean), ("last", masked_last)])
def test_the_summary_is_linear_in_the_pooled_streams(pool, function):
    torch.manual_seed(0)
    tokens, joined = drawn(), Joined(2, WIDTH, pool=pool)
    fused = joined(tokens, [t.x_BTD * 2 for t in tokens.values()])
    pooled = [function(fused.by_input[n].x_BTD, t.mask_BT) for n, t in tokens.items()]
    torch.testing.assert_close(fused.tokens.x_BTD[:, 0], joined.join(torch.cat(pooled, -1)))
    assert fused.tokens.prefix == 1
    assert torch.equal(fused.tokens.x_BTD[:, 1:], torch.cat([t.x_BTD for t in fused.by_input.values()], 1))
    assert fused.tokens.mask_BT[:, 0].all()
    for name, before in tokens.items():
        assert torch.equal(fused.by_input[name].mask_BT, before.mask_BT)
        assert fused.by_input[name].grid == before.grid


def test_an_unknown_pool_is_refused():
    with pytest.raises(ValueError, match="pool: expected one of mean, last"):
        Joined(2, WIDTH, pool="max")
