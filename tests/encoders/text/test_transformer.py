from __future__ import annotations

import pytest
import torch

from polyfuse.encoders.text.transformer import Transformer


def encoded(encoder, ids):
    ids = torch.tensor([ids])
    fields = {"ids": ids, "span": torch.stack([ids, ids], -1), "lengths": torch.tensor([ids.shape[1]])}
    return encoder(fields, torch.ones(1, dtype=torch.bool)).x_BTD[0]


def test_order_matters_and_every_token_sees_every_other():
    encoder = Transformer(vocabulary=20, width=8).eval()
    words, swapped = encoded(encoder, [1, 2, 3]), encoded(encoder, [2, 1, 3])
    assert not torch.allclose(words[0], swapped[1], atol=1e-4)
    assert not torch.allclose(words[2], swapped[2], atol=1e-4)


def test_without_blocks_a_token_knows_its_place_alone():
    encoder = Transformer(vocabulary=20, width=8, depth=0).eval()
    torch.testing.assert_close(encoded(encoder, [1, 2, 3])[2], encoded(encoder, [4, 5, 3])[2])


def test_the_tokenizer_gets_its_keywords():
    spec = Transformer.wants(max_tokens=7, vocabulary_limit=300, width=8)
    assert spec.transform == "text.bpe"
    assert spec.keywords == {"max_tokens": 7, "vocabulary_limit": 300, "whole": False}


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="multiple of heads"):
        Transformer(vocabulary=20, width=10, heads=4)
