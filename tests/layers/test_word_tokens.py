"""Words meet the tokens that lie where they do."""

from __future__ import annotations

import torch

from polyfuse.layers.word_tokens import mean_by_word
from polyfuse.records import Tokens


def made(spans, mask=None):
    x = torch.arange(1.0, len(spans) + 1)[None, :, None]
    mask = torch.ones(1, len(spans), dtype=torch.bool) if mask is None else mask
    return Tokens(x, mask, span_BT2=torch.tensor([spans]))


def test_a_word_is_the_mean_of_the_tokens_that_touch_it():
    words = torch.tensor([[[0, 4], [5, 8], [9, 9], [10, 12], [0, 0]]])
    tokens = made([(0, 1), (1, 2), (2, 4), (5, 8), (8, 9), (0, 0)])  # "U.N." of three tokens, "3-1" of one
    found, known = mean_by_word(tokens, words, torch.tensor([4]))
    assert found[0, :, 0].tolist() == [2, 4, 0, 0, 0]
    assert known[0].tolist() == [True, True, False, False, False]


def test_a_token_over_two_words_is_of_both_and_order_is_nothing():
    words = torch.tensor([[[0, 2], [3, 5]]])
    assert mean_by_word(made([(1, 4)]), words, torch.tensor([2]))[0][0, :, 0].tolist() == [1, 1]
    backwards = made([(3, 5), (0, 2)])
    assert mean_by_word(backwards, words, torch.tensor([2]))[0][0, :, 0].tolist() == [2, 1]


def test_masked_tokens_and_words_behind_the_end_are_nothing():
    words = torch.tensor([[[0, 2], [3, 5]]])
    tokens = made([(0, 2), (3, 5)], torch.tensor([[False, True]]))
    found, known = mean_by_word(tokens, words, torch.tensor([1]))
    assert not found.any()
    assert not known.any()
