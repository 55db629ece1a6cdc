from __future__ import annotations

import pytest
import torch

from polyfuse.encoders.text.gru import GRU


def encoded(encoder, ids):
    ids = torch.tensor([ids])
    fields = {"ids": ids, "span": torch.stack([ids, ids], -1), "lengths": torch.tensor([ids.shape[1]])}
    return encoder(fields, torch.ones(1, dtype=torch.bool)).x_BTD[0]


def test_each_half_of_a_token_reads_in_its_own_direction():
    encoder = GRU(vocabulary=20, width=8).eval()
    before, after = encoded(encoder, [1, 2, 3, 4]), encoded(encoder, [1, 2, 5, 4])
    ahead, back = (before != after).split(4, -1)
    assert ahead.any(-1).tolist() == [False, False, True, True]
    assert back.any(-1).tolist() == [True, True, True, False]


def test_the_tokenizer_gets_its_keywords():
    spec = GRU.wants(max_tokens=7, vocabulary_limit=300, width=8)
    assert spec.transform == "text.bpe"
    assert spec.keywords == {"max_tokens": 7, "vocabulary_limit": 300, "whole": False, "lowercase": True}


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="must be even"):
        GRU(vocabulary=20, width=7)
