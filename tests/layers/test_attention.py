from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from polyfuse.layers.attention import Attention, Block, CrossBlock

WIDTH = 8
sizes = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))


def drawn(rows, length, context, seed):
    """Queries, context and a mask that hides each context token by the toss of a coin."""
    torch.manual_seed(seed)
    x, y = torch.randn(rows, length, WIDTH), torch.randn(rows, context, WIDTH)
    return x, y, torch.rand(rows, context) < 0.5


def reference(layer, x, y, mask):
    """The textbook, one row, head and query at a time."""
    size = WIDTH // layer.heads
    found = torch.zeros_like(x)
    for row in range(len(x)):
        if not mask[row].any():
            continue
        real = y[row][mask[row]]
        q, k, v = (f(z).split(size, -1) for f, z in ((layer.query, x[row]), (layer.key, real), (layer.value, real)))
        heads = [(a @ b.T / size**0.5).softmax(-1) @ c for a, b, c in zip(q, k, v, strict=True)]
        found[row] = layer.out(torch.cat(heads, -1))
    return found


@settings(max_examples=40, deadline=None)
@given(case=sizes, heads=st.sampled_from([1, 2, 4]))
def test_equals_the_textbook(case, heads):
    x, y, mask = drawn(*case)
    layer = Attention(WIDTH, heads=heads)
    torch.testing.assert_close(layer(x, y, mask), reference(layer, x, y, mask), atol=1e-5, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(case=sizes)
def test_masked_context_has_no_say_and_order_does_not_matter(case):
    x, y, mask = drawn(*case)
    layer = Attention(WIDTH)
    before = layer(x, y, mask)
    changed = torch.where(mask[..., None], y, torch.full_like(y, 1e4))
    torch.testing.assert_close(layer(x, changed, mask), before, atol=1e-5, rtol=1e-4)
    order = torch.randperm(y.shape[1])
    torch.testing.assert_close(layer(x, y[:, order], mask[:, order]), before, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_to_attend_to_gives_exactly_zero_and_no_nan_gradient(dtype):
    layer = Attention(WIDTH).to(dtype)
    x = torch.randn(2, 3, WIDTH, dtype=dtype, requires_grad=True)
    mixed = layer(x, x, torch.tensor([[False, False, False], [True, False, True]]))
    assert not mixed[0].any()
    mixed.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert not x.grad[0].any()


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="multiple of heads"):
        Attention(10, heads=4)


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    block, x, mask = Block(WIDTH, dropout=0.5), torch.randn(2, 5, WIDTH), torch.ones(2, 5, dtype=torch.bool)
    assert not torch.equal(block(x, mask), block(x, mask))
    block.eval()
    assert torch.equal(block(x, mask), block(x, mask))


def test_a_block_without_context_still_adds_its_feed_forward_layer():
    block, x = Block(WIDTH).eval(), torch.randn(1, 3, WIDTH)
    expected = x + block.forward_layer(block.norm_forward(x))
    torch.testing.assert_close(block(x, torch.zeros(1, 3, dtype=torch.bool)), expected)


@settings(max_examples=20, deadline=None)
@given(case=sizes)
def test_a_cross_block_adds_what_it_reads_then_its_feed_forward_layer(case):
    x, y, mask = drawn(*case)
    block = CrossBlock(WIDTH)
    read = x + reference(block.attention, block.norm_attention(x), block.norm_context(y), mask)
    expected = read + block.forward_layer(block.norm_forward(read))
    torch.testing.assert_close(block(x, y, mask), expected, atol=1e-5, rtol=1e-4)


def test_a_cross_block_without_context_still_adds_its_feed_forward_layer():
    block, x = CrossBlock(WIDTH).eval(), torch.randn(1, 3, WIDTH)
    expected = x + block.forward_layer(block.norm_forward(x))
    torch.testing.assert_close(block(x, torch.randn(1, 2, WIDTH), torch.zeros(1, 2, dtype=torch.bool)), expected)


def test_every_matrix_is_a_linear_layer():
    """LoRA, pruning and int8 find ``nn.Linear`` only."""
    for block in (Block(WIDTH), CrossBlock(WIDTH)):
        inside = {id(p) for m in block.modules() if isinstance(m, (nn.Linear, nn.LayerNorm)) for p in m.parameters()}
        assert all(id(p) in inside for p in block.parameters())
