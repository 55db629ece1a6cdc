"""Words of any script: where they are cut, how they are spelt, what they are called."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfuse.data.cells import words

ANY = st.text(st.characters(exclude_categories=()), max_size=60)


def cut(text, most=99):
    return [text[start:end] for start, end in words.word_spans(text, most)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don’t stop, it's 3.5%!", ["Don’t", "stop", ",", "it's", "3", ".", "5", "%", "!"]),
        ("dogs' 'quoted'", ["dogs", "'", "'", "quoted", "'"]),
        ("我爱北京abc123，好", ["我", "爱", "北", "京", "abc123", "，", "好"]),
        ("ひらカタ々", list("ひらカタ々")),
        ("한국어 문장", ["한국어", "문장"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("cafe\u0301 ﬁne", ["cafe\u0301", "ﬁne"]),
        ("👩🏽\u200d💻🇩🇪", ["👩", "🏽", "💻", "🇩", "🇪"]),
        ("a" * 45, ["a" * 20, "a" * 20, "a" * 5]),
        ("\x00\u200b \ud800", []),
    ],
)
def test_where_words_are_cut(text, expected):
    assert cut(text) == expected


@given(ANY)
def test_places_are_in_order_and_miss_nothing_that_can_be_seen(text):
    found = words.word_spans(text, 99)
    assert all(0 <= start < end <= start + words.LONGEST for start, end in found)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(found))
    inside = {at for start, end in found for at in range(start, end)}
    letters = {at for at, letter in enumerate(text) if letter.isalnum()}
    assert letters <= inside
    assert not any(text[at].isspace() for at in inside)


@given(ANY, st.integers(0, 5))
def test_at_most_so_many_words(text, most):
    assert words.word_spans(text, most) == words.word_spans(text, 99)[:most]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", False), (" \n\u3000", False), ("\x00\u200d", False), ("\u200bx", True), ("😀", True), ("。", True)],
)
def test_visible(text, expected):
    assert words.is_visible(text) is expected


def test_spellings_of_one_word_are_one():
    assert {words.normalize_word(word, False) for word in ("Fine", "ﬁne", "ＦＩＮＥ", "FINE")} == {"fine"}
    assert words.normalize_word("cafe\u0301", False) == words.normalize_word("café", False)
    assert words.normalize_word("don’t", False) == "don't"
    assert words.normalize_word("❤️", False) == words.normalize_word("❤", False)
    assert words.normalize_word("STRASSE", False) == words.normalize_word("straße", False)
    assert words.normalize_word("Apple", True) != words.normalize_word("apple", True)


@given(st.text(min_size=1, max_size=12), st.integers(1, 4), st.integers(0, 3))
def test_pieces_are_distinct_parts_of_the_marked_word(word, shortest, more):
    found = words.character_ngrams(word, shortest, shortest + more)
    assert len(set(found)) == len(found)
    for piece in found:
        assert piece in f"<{word}>"
        assert shortest <= len(piece) <= shortest + more
        assert len(piece) < len(word) + 2
    if len(word) > 1 and shortest < len(word) + 2:
        assert found[0] == f"<{word}"[:shortest]


def test_names_never_change():
    assert words.hash_name("fox") == 279617582020052
    assert words.hash_pairs(np.array([1]), np.array([2])).tolist() == [166405116736039]


@given(st.lists(ANY, unique=True, max_size=20))
def test_names_are_distinct_and_exact_in_json(texts):
    names = [words.hash_name(text) for text in texts]
    assert len(set(names)) == len(texts)
    assert all(0 <= name < 2**48 for name in names)


@given(st.lists(st.tuples(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1)), min_size=1, unique=True, max_size=20))
def test_pairs_have_distinct_names_and_an_order(pairs):
    first, second = np.array(pairs).T
    names = words.hash_pairs(first, second)
    assert len(np.unique(names)) == len(pairs)
    assert ((names >= 0) & (names < 2**48)).all()
    swapped = words.hash_pairs(second, first)
    assert ((names == swapped) == (first == second)).all()


@given(st.lists(st.tuples(st.lists(st.integers(0, 9), unique=True, max_size=5), st.integers(1, 3)), max_size=20))
def test_counts(adds):
    counts = words.Counts()
    expected = dict.fromkeys(range(10), 0)
    for at, (names, times) in enumerate(adds):
        counts.add(np.array(names, np.int64), times)
        if at % 3 == 0:
            counts._merge()
        for name in names:
            expected[name] += times
    order = sorted((name for name, n in expected.items() if n), key=lambda name: (-expected[name], name))
    for most in (0, 1, 3, 99):
        assert counts.most_frequent(most).tolist() == sorted(order[:most])
