"""Tensor fusion against its paper, its neutral absent input, and its refusal of what would not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.fusion.tensor import AUTO_PARAMETERS, MOST_PARAMETERS, TensorProduct
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH, alone, draw, errors, normed_means, shaken


def outer(a, masks):
    """W vec([1; h_1] x .. x [1; h_N]), row by row by Kronecker products; an absent input is [1; 0]."""
    found = normed_means(a, masks)
    rows = []
    for row in range(len(found[0][0])):
        product = np.ones(1)
        for m, (x, _) in enumerate(found):
            product = np.kron(product, np.concatenate([[1.0], a[f"project.{m}.weight"] @ x[row]]))
        rows.append(a["out.weight"] @ product)
    return np.stack(rows)


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(), size=st.integers(1, 4))
def test_the_papers_formula(tokens, size):
    value, gradient = errors(shaken(TensorProduct(list(tokens), WIDTH, size=size)), outer, tokens)
    assert value < 1e-11
    assert gradient < 1e-8


def test_an_absent_input_leaves_the_interactions_of_the_others():
    three = shaken(TensorProduct(["i0", "i1", "i2"], WIDTH, size=3))
    two = shaken(TensorProduct(["i0", "i1"], WIDTH, size=3))
    two.pool.load_state_dict({k: v for k, v in three.pool.state_dict().items() if ".2." not in k})
    for m in range(2):
        two.project[m].load_state_dict(three.project[m].state_dict())
    # of the third input, only the 1
    two.out.weight.data = three.out.weight.data.view(WIDTH, 4, 4, 4)[..., 0].flatten(1)
    tokens = draw([3, 2, 2], torch.tensor([[True, True, False], [True, False, False], [False, False, False]]))
    pair = {name: tokens[name] for name in ("i0", "i1")}
    torch.testing.assert_close(alone(three, tokens), alone(two, pair))


@pytest.mark.parametrize(("size", "count"), [(128, 4), (64, 5), (1023, 2)])
def test_what_would_not_fit_is_refused_with_its_size_and_the_way_out(size, count):
    needed = (size + 1) ** count * 128
    with pytest.raises(ValueError, match=f"needs {needed:,} parameters.*low_rank_tensor"):
        TensorProduct([f"i{m}" for m in range(count)], 128, size=size)


@given(count=st.integers(1, 8), width=st.sampled_from([4, 16, 64, 128, 256]))
@settings(max_examples=20, deadline=None)
def test_auto_always_fits(count, width):
    fusion = TensorProduct([f"i{m}" for m in range(count)], width)
    assert 1 <= fusion.size <= min(32, width)
    assert fusion.out.weight.numel() <= AUTO_PARAMETERS < MOST_PARAMETERS
