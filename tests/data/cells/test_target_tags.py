"""Tags beside words, and spans of characters: read, refused with a reason, and written back as they came."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.source import BadCell, Limits, UnseenLabel
from polyfuse.data.cells.target_tags import Tags
from polyfuse.data.cells.word_lists import word_places

TEXT = "Anna flew from Bonn to New York."
SPANS = [{"start": 0, "end": 4, "label": "PER"}, {"start": 23, "end": 31, "label": "LOC"}]


def fitted(cells, form="tags"):
    transform = Tags(form)
    transform.fit(cells, {"y": "tags", "words": "text"}, Limits())
    return transform


def why(transform, cell):
    (array,), (listed,) = transform.encode([cell], Limits()), transform.broken([cell])
    assert isinstance(array, BadCell)
    assert str(listed[2]) == str(array)
    return array


@pytest.mark.parametrize(
    "tags", [["I-A", "B-A", "O"], ["B-A", "B-A", "O"], ["S-A", "B-A", "E-A"], ["NN", "VB", "."], [3, 0, 3]]
)
def test_tags_are_written_back_as_they_came(tags):
    transform = fitted([(tags, ["a", "b", "c"])])
    again = Tags()
    again.restore(transform.state())
    assert again.decode(transform.encode([(tags, ["a", "b", "c"])], Limits())) == [tags]


@pytest.mark.parametrize("words", [["a", "b"], "a b", "['a', 'b']", '["a", "b"]', ["a", ""]])
@pytest.mark.parametrize("tags", [["B-A", "O"], "B-A O", "['B-A', 'O']"])
def test_lists_may_be_written_as_texts(words, tags):
    transform = fitted([(tags, words)])
    assert transform.decode(transform.encode([(tags, words)], Limits())) == [["B-A", "O"]]


def test_spans_are_written_back_as_they_came():
    transform = fitted([(SPANS, TEXT)], "spans")
    assert transform.decode(transform.encode([(SPANS, TEXT), ([], TEXT)], Limits())) == [SPANS, []]
    assert transform.broken([(None, TEXT), ([], TEXT), (None, None)]) == []


def test_a_span_within_a_word_becomes_that_word():
    transform = fitted([(SPANS, TEXT)], "spans")
    inside = [{"start": 24, "end": 26, "label": "LOC"}]
    (found,) = transform.decode(transform.encode([(inside, TEXT)], Limits()))
    assert found == [{"start": 23, "end": 26, "label": "LOC"}]


def test_one_tag_too_few_is_told():
    assert str(why(fitted([(["B-A", "O"], "a b")]), (["O"], "a b"))) == "1 tags for 2 words"


def test_an_unseen_tag_is_told_from_what_cannot_be_read():
    transform = fitted([(["B-A", "O"], "a b")])
    assert isinstance(why(transform, (["B-C", "O"], "a b")), UnseenLabel)
    assert isinstance(why(transform, (["x", "O"], "a b")), UnseenLabel)
    assert not isinstance(why(transform, (3.5, "a b")), UnseenLabel)


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ({"start": 2, "end": 6, "label": "LOC"}, "overlaps"),
        ({"start": 28, "end": 99, "label": "LOC"}, "outside"),
        ({"start": -3, "end": 2, "label": "LOC"}, "outside"),
        ({"start": 9, "end": 9, "label": "LOC"}, "empty"),
        ({"start": 9.5, "end": 11, "label": "LOC"}, "whole numbers"),
        ({"start": 9, "end": 11, "label": None}, "label"),
        ({"start": 9, "end": 11}, "expected spans"),
    ],
)
def test_spans_that_cannot_be_are_told(span, reason):
    assert reason in str(why(fitted([(SPANS, TEXT)], "spans"), ([SPANS[0], span], TEXT)))


@pytest.mark.parametrize("text", ["cafe\u0301 Bonn", "👩\u200d💻 Bonn", "☀\ufe0f Bonn"])
def test_a_span_that_cuts_a_character_is_told(text):
    cut = text.index(next(sign for sign in text if sign in "\u0301\u200d\ufe0f"))
    transform = fitted([(SPANS, TEXT)], "spans")
    assert "cuts a character" in str(why(transform, ([{"start": 0, "end": cut, "label": "LOC"}], text)))


def test_an_empty_sentence_is_a_missing_cell():
    transform = fitted([(["B-A", "O"], "a b")])
    assert transform.broken([([], []), (None, []), (None, "a b")]) == []
    assert all(isinstance(cell, BadCell) for cell in transform.encode([([], [])], Limits()))


def test_nothing_to_learn_is_refused():
    with pytest.raises(ValueError, match=r"no training row has a tag per word; the first cell: 1 tags for 2 words"):
        fitted([(["O"], "a b")])
    with pytest.raises(ValueError, match="every word of training has the tag 'O'"):
        fitted([(["O", "O"], "a b")])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=6), max_size=8))
def test_there_are_as_many_places_as_words(words):
    places = word_places(words)
    text = " ".join(words)
    assert [text[start:end] for start, end in places] == words
    written = word_places(str(words))
    assert isinstance(written, BadCell) or len(written) == len(words)
