from __future__ import annotations

import pytest
import torch

from polyfuse.encoders.columns.tabm import TabM


def encoded(encoder, numbers, categories=None):
    named = torch.zeros(len(numbers), 0, dtype=torch.int64) if categories is None else categories
    return encoder({"numbers": numbers, "categories": named}, torch.ones(len(numbers), dtype=torch.bool)).x_BTD[:, 0]


def test_each_row_of_training_goes_through_one_member_and_evaluation_averages_all_of_them(monkeypatch):
    torch.manual_seed(0)
    encoder, x = TabM(numbers=3, categories=[], members=4, dropout=0.0), torch.randn(5, 3)
    each = []
    for member in range(4):
        monkeypatch.setattr(encoder, "_drawn", lambda x_U1E, m=member: torch.full(x_U1E.shape[:2], m))
        each.append(encoded(encoder.train(), x))
    assert len({round(tokens[0, 0].item(), 6) for tokens in each}) == 4
    monkeypatch.setattr(encoder, "_drawn", lambda x_U1E: torch.tensor([[0], [3], [1], [1], [2]]))
    for row, member in enumerate([0, 3, 1, 1, 2]):
        torch.testing.assert_close(encoded(encoder, x)[row], each[member][row])
    torch.testing.assert_close(encoded(encoder.eval(), x), torch.stack(each).mean(0), atol=1e-5, rtol=1e-5)


def test_a_step_changes_adapters_of_the_drawn_members_alone(monkeypatch):
    encoder = TabM(numbers=3, categories=[], members=3)
    monkeypatch.setattr(encoder, "_drawn", lambda x_U1E: torch.ones(x_U1E.shape[:2], dtype=torch.int64))
    encoded(encoder, torch.randn(5, 3)).sum().backward()
    assert encoder.enter.into_KI.grad.any(1).tolist() == [False, True, False]


@pytest.mark.parametrize(("numbers", "categories"), [(2, []), (0, [3]), (2, [3, 4])])
def test_either_kind_of_column_may_be_absent(numbers, categories):
    encoder = TabM(numbers=numbers, categories=categories)
    named = torch.zeros(4, len(categories), dtype=torch.int64)
    assert encoded(encoder, torch.randn(4, numbers), named).shape == (4, encoder.width)


def test_no_member_is_refused():
    with pytest.raises(ValueError, match="members=0"):
        TabM(numbers=1, categories=[], members=0)
