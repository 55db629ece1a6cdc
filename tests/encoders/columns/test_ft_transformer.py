from __future__ import annotations

import pytest
import torch

from polyfuse.encoders.columns.ft_transformer import FTTransformer


def encoded(encoder, numbers, categories):
    return encoder({"numbers": numbers, "categories": categories}, torch.ones(len(numbers), dtype=torch.bool))


@pytest.mark.parametrize(("depth", "touched"), [(0, [False, True, False, False]), (1, [True] * 4)])
def test_one_token_per_column_and_blocks_mix_them(depth, touched):
    torch.manual_seed(0)
    encoder = FTTransformer(numbers=2, categories=[3, 3], width=8, depth=depth).eval()
    named, numbers = torch.tensor([[1, 1]]), torch.zeros(1, 2)
    before, after = encoded(encoder, numbers, named), encoded(encoder, torch.tensor([[0.0, 1.0]]), named)
    assert before.grid == (4,)
    assert (before.x_BTD != after.x_BTD).any(-1)[0].tolist() == touched


def test_the_same_category_of_two_columns_differs():
    encoder = FTTransformer(numbers=0, categories=[3, 3], width=8, depth=0).eval()
    tokens = encoded(encoder, torch.zeros(1, 0), torch.tensor([[1, 1]])).x_BTD[0]
    assert not torch.allclose(tokens[0], tokens[1], atol=1e-3)


@pytest.mark.parametrize(("numbers", "categories"), [(2, []), (0, [3])])
def test_either_kind_of_column_may_be_absent(numbers, categories):
    encoder = FTTransformer(numbers=numbers, categories=categories, width=8)
    tokens = encoded(encoder, torch.randn(4, numbers), torch.zeros(4, len(categories), dtype=torch.int64))
    assert tokens.x_BTD.shape == (4, numbers + len(categories), 8)
