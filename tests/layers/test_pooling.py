from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.layers.pooling import AttentionPool, masked_max, masked_mean
from polyfuse.records import Tokens

sizes = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(0, 10_000))


def drawn(rows, length, seed):
    torch.manual_seed(seed)
    return torch.randn(rows, length, 3), torch.rand(rows, length) < 0.6


def pools():
    pool = AttentionPool(3)
    return {"mean": masked_mean, "max": masked_max, "attention": lambda x, mask: pool(Tokens(x, mask))}


@settings(max_examples=40, deadline=None)
@given(case=sizes)
def test_mean_and_max_are_those_of_the_real_tokens(case):
    x, mask = drawn(*case)
    for row in range(len(x)):
        real = x[row][mask[row]]
        expected = (real.mean(0), real.amax(0)) if len(real) else (torch.zeros(3), torch.zeros(3))
        torch.testing.assert_close(masked_mean(x, mask)[row], expected[0])
        torch.testing.assert_close(masked_max(x, mask)[row], expected[1])


@settings(max_examples=20, deadline=None)
@given(case=sizes)
def test_padding_and_order_change_nothing_and_empty_rows_are_zero(case):
    x, mask = drawn(*case)
    order = torch.randperm(x.shape[1])
    changed = torch.where(mask[..., None], x, torch.full_like(x, 7.0))
    for pool in pools().values():
        found = pool(x, mask)
        torch.testing.assert_close(pool(changed, mask), found)
        torch.testing.assert_close(pool(x[:, order], mask[:, order]), found)
        assert not found[~mask.any(-1)].any()


@settings(max_examples=20, deadline=None)
@given(case=sizes)
def test_every_pool_lies_between_the_smallest_and_the_largest_token(case):
    x, mask = drawn(*case)
    mask[:, 0] = True
    low = x.masked_fill(~mask[..., None], torch.inf).amin(1) - 1e-5
    high = x.masked_fill(~mask[..., None], -torch.inf).amax(1) + 1e-5
    for pool in pools().values():
        found = pool(x, mask)
        assert ((found >= low) & (found <= high)).all()


def test_attention_follows_its_score():
    pool, x = AttentionPool(2), torch.eye(2)[None]
    with torch.no_grad():
        pool.score.weight.copy_(torch.tensor([[0.0, 50.0]]))
    torch.testing.assert_close(pool(Tokens(x, torch.ones(1, 2, dtype=torch.bool))), torch.tensor([[0.0, 1.0]]))
