from __future__ import annotations

import pytest
import torch
from torch import nn

from polyfuse.encoders.text.ngrams import NGrams
from polyfuse.layers.pooling import masked_mean

ONE = torch.ones(1, dtype=torch.bool)


def fields(ids):
    ids = torch.tensor(ids)
    span = torch.zeros(*ids.shape[:2], 2, dtype=torch.int64)
    return {"ids": ids, "span": span, "lengths": torch.full((len(ids),), ids.shape[1])}


def test_a_word_is_the_sum_of_its_ngrams_in_any_order():
    encoder = NGrams(buckets=10).eval()
    word = encoder(fields([[[1, 2, 3]]]), ONE).x_BTD
    torch.testing.assert_close(word, encoder(fields([[[3, 0, 1, 2]]]), ONE).x_BTD)
    parts = sum(encoder(fields([[[n]]]), ONE).x_BTD - encoder.base_D for n in (1, 2, 3))
    torch.testing.assert_close(word, encoder.base_D + parts)


def test_a_word_of_no_known_ngram_says_nothing_of_its_own():
    encoder = NGrams(buckets=10).eval()
    assert torch.equal(encoder(fields([[[0, 0]]]), ONE).x_BTD[0, 0], encoder.base_D)


def test_nothing_stays_nothing_while_training():
    encoder = NGrams(buckets=10, dropout=0.5)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        encoder(fields([[[1, 0], [2, 3]]]), ONE).x_BTD.pow(2).sum().backward()
        optimizer.step()
    assert not encoder.table.weight[0].any()


def test_ngrams_are_hidden_in_training_only():
    torch.manual_seed(0)
    encoder, sample = NGrams(buckets=200, dropout=0.2), fields([[list(range(1, 101))]])
    encoder.drop.p = 0.0
    assert not torch.equal(encoder(sample, ONE).x_BTD, encoder(sample, ONE).x_BTD)
    encoder.eval()
    assert torch.equal(encoder(sample, ONE).x_BTD, encoder(sample, ONE).x_BTD)


def test_learns_which_word_matters_from_few_texts():
    torch.manual_seed(0)
    ids = torch.randint(3, 5000, (64, 4, 1))  # rare words, and in one place the word that says which class it is
    label = torch.arange(64) % 2
    ids[torch.arange(64), torch.randint(0, 4, (64,)), 0] = 1 + label
    model = nn.ModuleDict({"encoder": NGrams(buckets=5000), "head": nn.Linear(64, 2)})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def scores(ids):
        tokens = model["encoder"](fields(ids.tolist()), torch.ones(len(ids), dtype=torch.bool))
        return model["head"](masked_mean(tokens.x_BTD, tokens.mask_BT))

    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(scores(ids), label).backward()
        optimizer.step()
    model.eval()
    held_out = torch.randint(3, 5000, (64, 4, 1))
    held_out[:, 2, 0] = 1 + label
    assert (scores(held_out).argmax(1) == label).float().mean() > 0.9


def test_scale_is_that_of_the_vectors_at_the_start():
    spread = {scale: NGrams(buckets=4000, width=16, scale=scale).table.weight[1:].std().item() for scale in (0.1, 2.0)}
    assert spread == pytest.approx({0.1: 0.1 / 4, 2.0: 2.0 / 4}, rel=0.05)


def test_tfidf_adds_the_weighed_sum_of_the_text_to_each_word():
    torch.manual_seed(0)
    encoder = NGrams(buckets=9, width=8, tfidf=True).eval()
    fields = {
        "ids": torch.tensor([[[1], [2]]]),
        "span": torch.zeros(1, 2, 2, dtype=torch.int64),
        "lengths": torch.tensor([2]),
        "bag_ids": torch.tensor([[1, 5, 0]]),
        "bag_weights": torch.tensor([[0.5, 2.0, 0.0]]),
    }
    plain = encoder(fields, torch.tensor([True])).x_BTD  # the table starts at 0
    torch.nn.init.normal_(encoder.whole.weight)
    table = encoder.whole.weight
    added = encoder(fields, torch.tensor([True])).x_BTD - plain
    torch.testing.assert_close(added, (0.5 * table[1] + 2 * table[5]).expand(1, 2, 8), atol=1e-5, rtol=1e-5)


def test_features_are_the_bag():
    encoder = NGrams(buckets=9)
    bag = encoder.features({"bag_ids": torch.tensor([[1, 5, 0]]), "bag_weights": torch.tensor([[0.5, 2.0, 0.0]])})
    assert bag.size == 9
    assert bag.ids_BK.tolist() == [[1, 5, 0]]
    assert bag.weights_BK.tolist() == [[0.5, 2.0, 0.0]]
