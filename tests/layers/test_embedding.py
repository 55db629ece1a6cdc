from __future__ import annotations

import pytest
import torch

from polyfuse.layers.embedding import Categories, Numbers, OneHot, Pieces


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


def test_pieces_rise_in_turn_and_keep_the_number():
    pieces = Pieces([[0.0, 1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 0.0, 1.0, 1.0]], 4)
    assert pieces.size == 2 + 4  # the second is a flag, which one line describes
    x = pieces(torch.tensor([[-1.0, 0.0], [1.5, 0.0], [6.0, 1.0], [9.0, 1.0]]))
    assert x[:, :2].tolist() == [[-1.0, 0.0], [1.5, 0.0], [6.0, 1.0], [9.0, 1.0]]
    assert x[:, 2:].tolist() == [[-1, -1, -1, -1], [1, 0, -1, -1], [1, 1, 1, 0], [1, 1, 1, 1]]


def test_fewer_pieces_join_neighbours_and_one_is_refused():
    assert Pieces([[0.0, 1.0, 2.0, 4.0, 8.0]], 2)(torch.tensor([[1.0], [5.0]]))[:, 1:].tolist() == [[0, -1], [1, 0]]
    with pytest.raises(ValueError, match="pieces=1"):
        Pieces([[0.0, 1.0]], 1)


def test_one_hot_tells_kept_categories_apart_and_gives_nothing_to_others():
    known = OneHot([5, 4], [[2, 4], [3]])
    x = known(torch.full((4, 1), 0.5), torch.tensor([[2, 3], [4, 2], [1, 1], [0, 0]]))
    assert x[:, 0].tolist() == [0.5] * 4
    # missing, 2 and 4 of the first column; missing and 3 of the second
    assert x[:, 1:].tolist() == [[0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 1, 0]]


def test_one_hot_without_counts_keeps_the_first_categories():
    assert OneHot([4, 1000])(torch.zeros(1, 0), torch.tensor([[2, 3]])).shape == (1, 3 + 201)
