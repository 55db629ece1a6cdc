from __future__ import annotations

import pytest
import torch

from polyfuse.encoders.columns.mlp import MLP


def encoded(encoder, numbers, categories=None):
    named = torch.zeros(len(numbers), 0, dtype=torch.int64) if categories is None else categories
    return encoder({"numbers": numbers, "categories": named}, torch.ones(len(numbers), dtype=torch.bool)).x_BTD[:, 0]


@pytest.mark.parametrize(("depth", "is_linear"), [(0, True), (1, False)])
def test_depth_0_is_linear(depth, is_linear):
    torch.manual_seed(0)
    encoder, a, b = MLP(numbers=3, categories=[], depth=depth).eval(), torch.randn(5, 3), torch.randn(5, 3)
    both = encoded(encoder, a) + encoded(encoder, b)
    assert torch.allclose(both, encoded(encoder, a + b) + encoded(encoder, 0 * a), atol=1e-4) is is_linear


@pytest.mark.parametrize(("numbers", "categories"), [(2, []), (0, [3]), (2, [3, 4])])
def test_either_kind_of_column_may_be_absent(numbers, categories):
    encoder = MLP(numbers=numbers, categories=categories)
    named = torch.zeros(4, len(categories), dtype=torch.int64)
    assert encoded(encoder, torch.randn(4, numbers), named).shape == (4, encoder.width)


def test_categories_are_hidden_in_training_only():
    torch.manual_seed(0)
    encoder, numbers, named = MLP(numbers=0, categories=[5], depth=0, dropout=0.5), torch.zeros(400, 0), 3
    tokens = encoded(encoder, numbers, torch.full((400, 1), named))
    hidden = (tokens == encoder.linear.bias + encoder.enter.bias).all(-1)
    assert 0.15 < hidden.float().mean() < 0.35
    assert len(tokens[~hidden].unique(dim=0)) == 1
    tokens = encoded(encoder.eval(), numbers, torch.full((400, 1), named))
    assert len(tokens.unique(dim=0)) == 1


def test_a_category_never_seen_says_less_than_those_that_were():
    """Training moves the vectors of categories that occur; the others stay small."""
    torch.manual_seed(0)
    encoder, named = MLP(numbers=0, categories=[4], depth=1), torch.tensor([[2], [3]] * 16)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-2)
    target = torch.where(named == 2, 1.0, -1.0)
    for _ in range(50):
        optimizer.zero_grad()
        (encoded(encoder, torch.zeros(32, 0), named)[:, :1] - target).pow(2).mean().backward()
        optimizer.step()
    tokens = encoded(encoder.eval(), torch.zeros(4, 0), torch.arange(4)[:, None])[:, 0]
    assert tokens[1].abs() < tokens[2:].abs().min()
