from __future__ import annotations

import pytest
import torch

from polyfuse.encoders.features.vectors import Vectors


def encoded(encoder, x):
    return encoder({"x": x}, torch.ones(len(x), dtype=torch.bool)).x_BTD[:, 0]


@pytest.mark.parametrize(("depth", "is_linear"), [(0, True), (1, False), (2, False)])
def test_depth_0_is_linear(depth, is_linear):
    torch.manual_seed(0)
    encoder, a, b = Vectors(size=6, depth=depth).eval(), torch.randn(5, 6), torch.randn(5, 6)
    both = encoded(encoder, a) + encoded(encoder, b)
    assert torch.allclose(both, encoded(encoder, a + b) + encoded(encoder, 0 * a), atol=1e-5) is is_linear


def test_features_are_dropped_in_training_only():
    torch.manual_seed(0)
    encoder, x = Vectors(size=1, depth=0, dropout=0.5), torch.ones(400, 1)
    dropped = (encoded(encoder, x) == encoder.layers[1].bias).all(-1)
    assert 0.4 < dropped.float().mean() < 0.6
    assert len(encoded(encoder.eval(), x).unique(dim=0)) == 1
