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


def test_features_are_mean_and_deviation_of_real_vectors():
    x = torch.tensor([[[1.0, 2.0], [3.0, 2.0], [99.0, 99.0]]])
    found = Sequence(size=2).features({"x": x, "lengths": torch.tensor([2])})
    assert found.tolist() == [[2.0, 2.0, 1.0, 0.0]]
