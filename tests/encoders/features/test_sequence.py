from __future__ import annotations

import torch

from polyfuse.encoders.features.sequence import Sequence


def encoded(encoder, x):
    fields = {"x": x, "lengths": torch.full((len(x),), x.shape[1])}
    return encoder(fields, torch.ones(len(x), dtype=torch.bool)).x_BTD


def test_without_blocks_tokens_are_linear_and_know_neither_place_nor_neighbours():
    encoder, x = Sequence(size=5, width=8, depth=0).eval(), torch.randn(2, 4, 5)
    torch.testing.assert_close(encoded(encoder, x.flip(1)), encoded(encoder, x).flip(1))
    torch.testing.assert_close(encoded(encoder, x), encoder.embed(x))


def test_with_blocks_order_matters():
    torch.manual_seed(0)
    encoder, x = Sequence(size=5, width=8, depth=1).eval(), torch.randn(2, 4, 5)
    assert not torch.allclose(encoded(encoder, x.flip(1)), encoded(encoder, x).flip(1), atol=1e-3)
