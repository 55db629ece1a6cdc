"""What a text output learns from."""

from __future__ import annotations

import json

import numpy as np
import pytest

from polyfuse.data.cells.source import BadCell, Limits
from polyfuse.data.cells.spelling import Speller, split_words
from polyfuse.data.cells.target_text import Text

CELLS = ["A dog runs.", ["Two cats", "cats, two of them"], "一只狗在跑", '["first", "second text"]', "a dog"]


def fitted(cells=CELLS, **keywords) -> Text:
    made = Text(**keywords)
    made.fit(cells, {"caption": "text"}, Limits())
    return made


@pytest.mark.parametrize("unit", ["auto", "word", "char", "bpe"])
def test_references_come_back_as_they_were(unit):
    made = fitted(unit=unit)
    again = Text(unit=unit)
    again.restore(json.loads(json.dumps(made.state())))
    expected = ["A dog runs.", ["Two cats", "cats, two of them"], "一只狗在跑", ["first", "second text"], "a dog"]
    for transform in (made, again):
        arrays = transform.encode(CELLS, Limits())
        assert transform.decode(arrays) == expected
        fields = transform.collate(arrays)
        assert (fields["units"] > 0).sum(1).tolist() == [1, 2, 1, 2, 1]
        assert fields["whole"][0, 0]
        ids = fields["ids"][1, 1, : fields["units"][1, 1]]
        assert transform.speller.text(ids) == "cats, two of them"


def test_chinese_is_written_by_its_characters_and_blanks_belong_to_words():
    assert split_words("一只狗") == [" 一", "只", "狗"]
    assert split_words("a dog, 2 cats") == [" a", " dog", ",", " 2", " cats"]
    speller = fitted(["一只狗在跑"] * 6, unit="auto").speller
    assert speller.unit == "word"
    assert speller.vocabulary == 4 + 5


def test_long_texts_are_cut_and_said_and_judged_whole():
    long = " ".join(f"word{n % 7}" for n in range(10_000))
    made = fitted(["a b c", long], unit="word")
    assert made.longest == 256
    assert any("1 of 2 training texts are longer than 256 words" in note for note in made.notes)
    assert any("data.limits.characters" in note for note in made.notes)
    array = made.encode([long], Limits())[0]
    assert made.decode([array]) == [long[: Limits().characters]]
    fields = made.collate([array])
    assert fields["units"].tolist() == [[256]]
    assert not fields["whole"].any()


def test_units_that_training_never_showed_are_one():
    made = fitted(["a b", "a c"] * 5, unit="word", vocabulary=6)
    assert made.speller.encode(["a b z"]) == [[4, 5, 3]]
    assert made.decode(made.encode(["a b z"], Limits())) == ["a b z"]


def test_a_vocabulary_of_one_word_is_said():
    made = fitted(["yes"] * 4)
    assert any("every training text is the same" in note for note in made.notes)


def test_empty_references_are_no_target():
    made = fitted()
    empty, some, letters = made.encode([["", " "], ["", "a dog"], "\u200b"], Limits())
    assert isinstance(empty, BadCell)
    assert isinstance(letters, BadCell)
    assert made.decode([some]) == ["a dog"]
    assert made.collate([made.blank()])["units"].tolist() == [[0]]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"unit": "letters"}, "unit: expected"),
        ({"max_length": 0}, "max_length: expected"),
        ({"vocabulary": 200}, "vocabulary: expected 260 or more for unit auto"),
    ],
)
def test_what_cannot_be_is_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        Text(**keywords)
    with pytest.raises(ValueError, match="no training row has a text"):
        fitted([["", ""]])


def test_byte_pairs_write_what_training_never_showed():
    speller = Speller.train(["a dog runs"] * 3, "bpe", 400)
    for text in ("ein Hund läuft", "狗在跑", "🐕!"):
        assert speller.text(np.array(speller.encode([text])[0])) == text
