from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.layers.patches import Patches, grid_positions, tokens_of_map


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20), side=st.integers(1, 7))
def test_every_pixel_lies_in_its_patch(height, width, side):
    patches, x_BCHW = Patches(2, 3, side=side), torch.randn(2, 2, height, width)
    x_BTD, (rows, columns) = patches(x_BCHW)
    assert (rows, columns) == (-(-height // side), -(-width // side))
    assert x_BTD.shape == (2, rows * columns, 3)
    y, x = height - 1, width // 2
    changed = x_BCHW.clone()
    changed[:, :, y, x] += 1
    moved = (patches(changed)[0] != x_BTD).any(-1).any(0)
    assert moved.nonzero().flatten().tolist() == [y // side * columns + x // side]


def test_patches_are_a_convolution_with_its_stride():
    patches, x_BCHW = Patches(3, 5, side=4), torch.randn(2, 3, 8, 12)
    weight = patches.embed.weight.unflatten(1, (3, 4, 4))
    expected, grid = tokens_of_map(torch.nn.functional.conv2d(x_BCHW, weight, patches.embed.bias, stride=4))
    found, (rows, columns) = patches(x_BCHW)
    assert (rows, columns) == grid == (2, 3)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [4, 7, 16])
def test_every_place_of_a_grid_has_its_own_code(size):
    code_TD = grid_positions((5, 7), size, like=torch.zeros(1))
    assert code_TD.shape == (35, size)
    distance = torch.cdist(code_TD, code_TD) + torch.eye(35)
    assert distance.min() > 1e-3
    assert torch.equal(code_TD[:7, : size - size // 2], code_TD[:1, : size - size // 2].expand(7, -1))  # same row
