"""Texts as n-grams, learnt subwords, or the tokens of a checkpoint."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from polyfuse.data.cells.source import BadCell, Limits
from polyfuse.data.cells.text import BytePairs, NGrams, SavedTokenizer, as_text

LIMITS = Limits()
TEXTS = ["the cat sat", "The mat!", "我爱北京", "cat 😀"] * 3


def fitted(made, texts=TEXTS):
    made.fit(texts, {"t": "text"}, LIMITS)
    return made


def encoded(made, text, limits=LIMITS):
    return made.encode([text], limits)[0]


# ---- what counts as text


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        *((3, "3"), (3.0, "3"), (np.float32(2.5), "2.5"), (True, "True"), (b"caf\xc3\xa9", "café")),
        *((["two", "words"], "two words"), (np.array(["a", "b"]), "a b"), ("x\ud800y", "x\ufffdy")),
    ],
)
def test_text_of_other_values(cell, expected):
    assert as_text(cell, LIMITS) == expected


def test_long_text_is_cut_and_invisible_text_is_broken():
    assert as_text("ab" * 100, Limits(characters=5)) == "ababa"
    assert "visible" in str(as_text("\x01\u200b\n", LIMITS))
    for made in (fitted(NGrams()), fitted(BytePairs())):
        assert isinstance(encoded(made, "\x01"), BadCell)
        short = encoded(made, "cat " * 10_000, Limits(characters=12))
        assert made.collate([short])["lengths"][0] <= 12


# ---- n-grams


def ids_of(made, text):
    return [set(row[row > 0].tolist()) for row in made.collate([encoded(made, text)])["ids"][0]]


def test_ids_lie_below_buckets_and_each_ngram_of_training_has_its_own():
    made = fitted(NGrams())
    buckets = made.facts()["buckets"]
    found = set().union(*(ids for text in TEXTS for ids in ids_of(made, text)))
    assert found == set(range(1, buckets))


def test_spellings_share_ids_unless_case_counts():
    folded, kept = fitted(NGrams()), fitted(NGrams(case=True))
    assert ids_of(folded, "THE") == ids_of(folded, "the")
    assert ids_of(kept, "The") != ids_of(kept, "the")


def test_words_alike_share_some_ids_and_unknown_ones_have_none():
    made = fitted(NGrams())
    (cat,), (cats,), (qqq,) = (ids_of(made, text) for text in ("cat", "cats", "qqq"))
    assert cats < cat
    assert cats
    assert qqq == set()
    assert made.collate([encoded(made, "qqq")])["lengths"].tolist() == [1]


def test_pairs_of_words_know_their_order():
    single, pairs, triples = (fitted(NGrams(words=n)) for n in (1, 2, 3))
    the, cat, sat = ids_of(pairs, "the cat sat")
    assert cat > ids_of(pairs, "cat")[0]
    assert len(cat) == len(ids_of(pairs, "cat")[0]) + 1
    assert the == ids_of(pairs, "the")[0]
    assert ids_of(pairs, "sat cat")[1] == ids_of(pairs, "cat")[0]
    assert [len(ids) for ids in ids_of(triples, "the cat sat")] == [len(the), len(cat), len(sat) + 1]
    assert ids_of(single, "the cat")[1] == ids_of(single, "cat")[0]


def test_characters_bound_the_pieces():
    whole, some = fitted(NGrams(characters=(9, 9))), fitted(NGrams(characters=(3, 3)))
    assert [len(ids) for ids in ids_of(whole, "cat")] == [1]
    assert [len(ids) for ids in ids_of(some, "cat")] == [1 + 3]
    assert [len(ids) for ids in ids_of(some, "爱")] == [1]


def test_a_limit_keeps_the_most_frequent_ngrams():
    texts = ["common"] * 5 + [f"rare{n}" for n in range(50)]
    made = fitted(NGrams(buckets=8, characters=(20, 20)), texts)
    assert made.facts()["buckets"] == 8
    assert ids_of(made, "common")[0]
    assert sum(bool(ids_of(made, text)[0]) for text in texts[5:]) == 6
    with pytest.raises(ValueError, match="buckets"):
        NGrams(buckets=1)


def test_texts_beyond_max_tokens_are_cut():
    made = fitted(NGrams(max_tokens=2))
    assert np.array_equal(encoded(made, "the cat sat on"), encoded(made, "the cat"))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_spans_point_at_the_words(texts):
    made = fitted(NGrams())
    good = [(t, a) for t, a in zip(texts, made.encode(texts, LIMITS), strict=True) if not isinstance(a, BadCell)]
    if not good:
        return
    fields = made.collate([array for _, array in good])
    for (text, _), span, length in zip(good, fields["span"], fields["lengths"], strict=True):
        words = [text[start:end] for start, end in span[:length]]
        assert all(word and not word.isspace() for word in words)
        assert (span[length:] == 0).all()


def test_words_are_forgotten_before_memory_fills(monkeypatch):
    monkeypatch.setattr("polyfuse.data.cells.text.REMEMBERED", 3)
    made, free = fitted(NGrams()), fitted(NGrams())
    for text in [*TEXTS, "a b c d e f g", *TEXTS]:
        assert np.array_equal(encoded(made, text), encoded(free, text))
        assert len(made._ids) <= 3


def bag_of(made, text):
    """Id -> weight of a text's bag."""
    fields = made.collate([encoded(made, text)])
    pairs = zip(fields["bag_ids"][0].tolist(), fields["bag_weights"][0].tolist(), strict=True)
    return {at: weight for at, weight in pairs if weight}


def test_a_bag_equals_plain_tf_idf_over_words_and_pairs_and_over_pieces():
    texts = ["the cat sat", "the cat", "a dog sat on the cat and the dog", "the the mat"]
    made = fitted(NGrams(characters=(3, 3)), texts)

    def grams(text):
        words = text.split()
        parts = [f"<{word}>"[at : at + 3] for word in words for at in range(len(word)) if len(word) > 1]
        return Counter([*words, *pairwise(words)]), Counter(parts)

    for text in [*texts, "the dog and the unheard cat"]:
        expected = []
        for family in (0, 1):
            known = Counter(gram for other in texts for gram in set(grams(other)[family]))
            weights = [
                (1 + math.log(times)) * (1 + math.log((1 + len(texts)) / (1 + known[gram])))
                for gram, times in grams(text)[family].items()
                if gram in known
            ]
            length = math.hypot(*weights)
            expected += [weight / length for weight in weights]
        assert sorted(bag_of(made, text).values()) == pytest.approx(sorted(expected), abs=1e-6)


def test_the_bag_of_a_text_without_a_known_ngram_is_empty():
    made = fitted(NGrams())
    assert bag_of(made, "qqq") == {}
    fields = made.collate([encoded(made, "the cat"), encoded(made, "qqq"), made.blank()])
    assert not fields["bag_weights"][1:].any()
    assert np.isfinite(fields["bag_weights"]).all()


def test_words_and_their_pieces_weigh_alike_in_a_bag():
    made = fitted(NGrams())
    bag = bag_of(made, "the cat sat")
    for family in (False, True):
        assert sum(w * w for at, w in bag.items() if made.is_piece[at - 1] == family) == pytest.approx(1, abs=1e-5)


def test_a_model_saved_without_weights_reads_the_same_words_and_empty_bags():
    made, old = fitted(NGrams()), NGrams()
    old.restore({"names": made.state()["names"]})
    for text in TEXTS:
        fields, before = (m.collate([encoded(m, text)]) for m in (made, old))
        assert np.array_equal(fields["ids"], before["ids"])
        assert not before["bag_weights"].any()


# ---- learnt subwords


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_every_script_has_subwords_and_their_places_cover_the_text(text):
    made = fitted(BytePairs())
    array = encoded(made, text)
    if isinstance(array, BadCell):
        return
    assert (array[:, 0] > 0).all()
    assert (array[:, 0] < made.facts()["vocabulary"]).all()
    covered = {at for start, end in array[:, 1:] for at in range(start, end)}
    assert {at for at, letter in enumerate(text) if letter.isalnum()} <= covered


def test_frequent_words_become_one_subword_within_the_limit():
    made = fitted(BytePairs(), ["internationalisation is long"] * 20)
    assert len(encoded(made, "internationalisation")) == 1
    assert 257 < made.facts()["vocabulary"] < 400
    small = fitted(BytePairs(vocabulary_limit=260), ["internationalisation is long"] * 20)
    assert small.facts()["vocabulary"] == 260
    with pytest.raises(ValueError, match="257"):
        BytePairs(vocabulary_limit=256)


def test_lowercase():
    assert encoded(fitted(BytePairs()), "CAT")[:, 0].tolist() == encoded(fitted(BytePairs()), "cat")[:, 0].tolist()
    kept = fitted(BytePairs(lowercase=False))
    assert encoded(kept, "CAT")[:, 0].tolist() != encoded(kept, "cat")[:, 0].tolist()


def test_subwords_beyond_max_tokens_are_cut():
    assert len(encoded(fitted(BytePairs(max_tokens=4)), "the cat sat on the mat")) == 4


# ---- a checkpoint's tokenizer


@pytest.fixture
def checkpoint(tmp_path):
    words = ["[UNK]", "the", "cat", "[CLS]", "[SEP]", "[PAD]"]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 3), ("[SEP]", 4)])
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=9)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_special_tokens_and_padding_are_the_checkpoints_own(checkpoint):
    made = fitted(SavedTokenizer(str(checkpoint), max_tokens=5))
    fields = made.collate(made.encode(["the cat", "the cat the cat", "dog"], LIMITS))
    assert fields["ids"].tolist() == [[3, 1, 2, 4, 0], [3, 1, 2, 1, 4], [3, 0, 4, 0, 0]]
    assert fields["lengths"].tolist() == [4, 5, 3]
    assert fields["span"][0].tolist() == [[0, 0], [0, 3], [4, 7], [0, 0], [0, 0]]


def test_padding_without_a_stated_id_is_found_by_name(checkpoint):
    content = json.loads(checkpoint.read_text())
    content["padding"] = None
    checkpoint.write_text(json.dumps(content))
    made = fitted(SavedTokenizer(str(checkpoint)))
    assert made.collate(made.encode(["the cat", "cat"], LIMITS))["ids"].tolist() == [[3, 1, 2, 4], [3, 2, 4, 5]]
    assert made.blank().tolist() == [[5, 0, 0]]


def test_the_file_is_needed_only_for_fitting(checkpoint):
    made = fitted(SavedTokenizer(str(checkpoint)))
    checkpoint.unlink()
    again = SavedTokenizer(str(checkpoint))
    again.restore(made.state())
    assert np.array_equal(encoded(again, "the cat"), encoded(made, "the cat"))


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    for name in ("tokenizer.json", "none.json"):
        with pytest.raises(ValueError, match=name):
            fitted(SavedTokenizer(str(tmp_path / name)))
