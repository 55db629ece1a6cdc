"""The U-Net takes every size that a target may have, and knows the tokens that it reads."""

from __future__ import annotations

import pytest
import torch

from polyfuse.heads.flow import Conditions
from polyfuse.heads.image.unet import UNet
from polyfuse.records import Tokens


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (12, 20), (32, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_keeps_its_shape_and_follows_each_token(size, channels):
    torch.manual_seed(0)
    net = UNet(channels, size, 8, base=8, depth=1, dropout=0.0).eval()
    x, t = torch.randn(2, channels, *size), torch.tensor([0.1, 0.9])
    tokens = torch.randn(2, 3, 8)
    mask = torch.ones(2, 3, dtype=torch.bool)
    mean = tokens.mean(1)
    found = net(x, t, Conditions(Tokens(tokens, mask), mean))
    assert found.shape == x.shape
    swapped = tokens.flip(2)
    assert not torch.allclose(found, net(x, t, Conditions(Tokens(swapped, mask), mean)))
    nothing = net(x, t, Conditions(Tokens(tokens, mask & False), mean * 0))
    assert torch.isfinite(nothing).all()
