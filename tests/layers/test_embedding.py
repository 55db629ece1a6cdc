from __future__ import annotations

import pytest
import torch

from polyfuse.layers.embedding import Categories, Numbers


def test_each_category_of_each_column_has_its_own_vector():
    embed = Categories([3, 1, 4], 5)
    every = torch.cat([embed(torch.tensor([[a, 0, b]])).flatten(0, 1) for a in range(3) for b in range(4)])
    assert len(every.unique(dim=0)) == 3 + 1 + 4
    torch.testing.assert_close(embed(torch.tensor([[2, 0, 3]]))[0], embed.table.weight[[2, 3, 7]])


def test_a_category_beyond_its_column_does_not_read_the_next_table_silently():
    with pytest.raises(IndexError):
        Categories([3, 4], 5)(torch.tensor([[0, 4]]))


def test_numbers_are_linear_in_each_column():
    embed = Numbers(2, 5)
    zero, one, two = (embed(torch.tensor([[value, 0.0]])) for value in (0.0, 1.0, 2.0))
    torch.testing.assert_close(two - one, one - zero)
    assert torch.equal(zero[:, 1], two[:, 1])
    assert not torch.equal(zero[:, 0], two[:, 0])


def test_no_columns_of_a_kind_give_no_tokens():
    assert Numbers(0, 5)(torch.zeros(2, 0)).shape == (2, 0, 5)
    assert Categories([], 5)(torch.zeros(2, 0, dtype=torch.int64)).shape == (2, 0, 5)
