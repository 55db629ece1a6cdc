"""The grid of the pyramid, and how far its tokens see."""

from __future__ import annotations

import pytest
import torch

from polyfuse.encoders.image.pyramid import Pyramid


@pytest.mark.parametrize(("stride", "grid"), [(2, (48, 48)), (4, (24, 24)), (8, (12, 12))])
def test_the_grid_is_as_fine_as_it_is_asked_for(stride, grid):
    encoder = Pyramid(image_size=(96, 96), width=8, stride=stride)
    pixels = torch.zeros(1, 3, 96, 96, dtype=torch.uint8)
    tokens = encoder({"pixels": pixels}, torch.ones(1, dtype=torch.bool))
    assert tokens.grid == grid
    assert tokens.x_BTD.shape == (1, grid[0] * grid[1], encoder.width)


def test_a_token_sees_far_beyond_its_square():
    torch.manual_seed(0)
    encoder = Pyramid(image_size=(96, 96), width=8).eval()
    pixels = torch.randint(0, 255, (1, 3, 96, 96), generator=torch.Generator().manual_seed(0)).float().requires_grad_()
    tokens = encoder({"pixels": pixels}, torch.ones(1, dtype=torch.bool))
    tokens.x_BTD[0, 12 * 24 + 12].sum().backward()
    assert pixels.grad is not None
    rows = pixels.grad[0].abs().sum((0, 2)) > 0
    assert rows.sum() > 48


def test_strides_that_cannot_be_are_refused():
    for keywords in ({"stride": 3}, {"stride": 8, "depth": 2}):
        with pytest.raises(ValueError, match="expected 2, 4 or 8 pixels"):
            Pyramid(image_size=(96, 96), **keywords)
