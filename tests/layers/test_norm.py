from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from polyfuse.layers.norm import MaskedGroupNorm


def made(width: int, size: int) -> MaskedGroupNorm:
    torch.manual_seed(0)
    norm = MaskedGroupNorm(width, size=size)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def until(*lengths: int, of: int) -> torch.Tensor:
    return torch.arange(of) < torch.tensor(lengths)[:, None]


@pytest.mark.parametrize(("width", "size"), [(16, 8), (12, 4), (8, 1), (6, 4)])
def test_without_padding_it_is_group_norm(width, size):
    norm, x_BTFD = made(width, size), torch.randn(3, 5, 2, width) + 2
    groups = 1 if width % size else width // size
    expected = nn.functional.group_norm(x_BTFD.permute(0, 3, 1, 2), groups, norm.weight, norm.bias)
    torch.testing.assert_close(norm(x_BTFD, until(5, 5, 5, of=5)), expected.permute(0, 2, 3, 1), atol=1e-5, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), junk=st.floats(-100, 100))
def test_padding_is_not_seen_and_comes_out_as_zero(lengths, junk):
    norm, mask_BT = made(8, 4), until(*lengths, of=6)
    torch.manual_seed(1)
    x_BTFD = torch.where(mask_BT[..., None, None], torch.randn(len(lengths), 6, 3, 8), junk)
    y_BTFD = norm(x_BTFD, mask_BT)
    assert not y_BTFD[~mask_BT].any()
    for row, length in enumerate(lengths):
        alone = norm(x_BTFD[row : row + 1, :length], until(length, of=length))
        torch.testing.assert_close(y_BTFD[row, :length], alone[0], atol=1e-5, rtol=1e-4)


def test_a_row_without_tokens_is_zero_with_finite_gradients():
    norm, x_BTFD = made(8, 4), torch.randn(2, 3, 1, 8, requires_grad=True)
    y_BTFD = norm(x_BTFD, until(0, 2, of=3))
    y_BTFD.square().sum().backward()
    assert not y_BTFD[0].any()
    assert torch.isfinite(x_BTFD.grad).all()
    assert torch.isfinite(norm.weight.grad).all()


def test_gradient_is_that_of_the_formula():
    norm = made(4, 2).double()
    x_BTFD = torch.randn(2, 3, 2, 4, dtype=torch.double, requires_grad=True)

    def formula(x):
        grouped = x[0, :2].unflatten(-1, (2, 2))
        mean, variance = grouped.mean((0, 1, 3), keepdim=True), grouped.var((0, 1, 3), keepdim=True, correction=0)
        return ((grouped - mean) / (variance + 1e-5).sqrt()).flatten(-2) * norm.weight + norm.bias

    expected = torch.autograd.grad(formula(x_BTFD).pow(3).sum(), x_BTFD)[0][0]
    found = torch.autograd.grad(norm(x_BTFD, until(2, 3, of=3))[0].pow(3).sum(), x_BTFD)[0][0]
    torch.testing.assert_close(found, expected)
