"""What every transform of plain values must hold, run over every row of the registry that reads no media."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from polyfuse import registry
from polyfuse.data.cells.frame import Frame, PictureSize
from polyfuse.data.cells.source import BadCell, Limits, UnseenLabel

LIMITS, SIZE = Limits(), PictureSize(24, 32)


@dataclass
class Example:
    """Cells to fit a transform on, other good cells, bad cells, and the modalities of its columns."""

    cells: list[Any]
    more: list[Any]
    bad: list[Any]
    columns: dict[str, str]
    keywords: dict[str, Any] = field(default_factory=dict)


TEXTS = ["the red fox", "A blue FOX, jumping!", "我爱北京", "👩🏽‍💻 at work"]
EXAMPLES = {
    "text.ngrams": Example(TEXTS, ["the green fox", 12, "x" * 90, ["two", "words"]], ["\x00\u200b"], {"t": "text"}),
    "text.plain": Example(TEXTS, ["the green fox", 12, b"bytes", None], [], {"t": "text"}),
    "text.split": Example(
        TEXTS, ["the green fox", 12, ["two", "words", ""], "['two', 'words']"], ["\x00\u200b"], {"t": "text"}
    ),
    "text.words": Example(
        TEXTS, ["the green fox", 12, ["two", "words", ""], "['two', 'words']"], ["\x00\u200b", [""]], {"t": "text"}
    ),
    "text.bpe": Example(TEXTS, ["the green fox", 12, "ß\ud800", b"bytes"], ["\x00\u200b"], {"t": "text"}),
    "text.tokenizer": Example(TEXTS, ["fox the", "red"], ["\x00\u200b", "???"], {"t": "text"}),
    "text.stretches": Example(
        TEXTS, ["fox the", "red"], ["\x00\u200b", "???"], {"t": "text"}, {"stretch": 4, "most": 2}
    ),
    "columns": Example(
        [(1.0, "a", "2024-01-31"), (2.5, "b", None), (None, "a", "2023-05-01 10:30"), (7, "b", "2022-01-01")],
        [("3", "c", "2024-02-01"), (None, None, "2020-12-31"), (1e9, "a", None), ("what", "a", "?")],
        [("what", None, "31.12.2020")],
        {"n": "number", "c": "category", "d": "date"},
    ),
    "vector": Example(
        [[1.0, 2.0], np.array([2, 5]), "[0.5, 3]", "4 1"], [[100, -100]], [[1.0], "x", [1.0, float("nan")]], {"v": "v"}
    ),
    "sequence": Example(
        [[[1.0, 2.0]], np.eye(2), "[[0.5, 3], [1, 1], [2, 2]]"], [[[9, 9], [1, 2]]], [[[1.0]], "x"], {"v": "v"}
    ),
    "target.category": Example(["a", "b", "b"], ["a"], ["c"], {"y": "category"}),
    "target.ordinal": Example([1, 2, 2], [1], [3], {"y": "ordinal"}),
    "target.labels": Example(["a|b", "b", ["a", "c"]], ["c|a", []], ["d", ["a", "e"]], {"y": "labels"}),
    "target.text": Example(
        ["a dog runs", ["two cats", "cats"], "一只狗", '["one", "two"]'],
        ["a zebra", ["", "x"], 12, b"bytes"],
        ["\x00\u200b", ["", " "], []],
        {"y": "text"},
    ),
    "target.tags": Example(
        [(["B-A", "I-A", "O"], ["a", "b", "c"]), ("O B-B", "one two"), ("['O', 'B-A']", "['x', 'y']")],
        [(["I-B"], ["ö"])],
        [(["B-C"], ["a"]), (["x", "O"], ["a", "b"])],
        {"y": "tags", "t": "text"},
    ),
    "target.events": Example(
        [[{"start": 0.5, "end": 1, "label": "a"}], '[{"start": 0, "end": 2.5, "label": "b"}]', []],
        [[{"start": 1, "end": 2, "label": "b"}, {"start": 0, "end": 3, "label": "a"}], "[]"],
        [[{"start": 0, "end": 1, "label": "c"}]],
        {"y": "events"},
    ),
    "image.size": Example(
        [(PictureSize(4, 6, 1),), (PictureSize(4, 6, 8),)], [(PictureSize(9, 1, 1),)], [(None,)], {"x": "image"}
    ),
    "target.boxes": Example(
        [([{"bbox": [1, 2, 3, 4.5], "label": "a"}], SIZE), ([], SIZE), ('[{"bbox": [0, 0, 9, 9], "label": 2}]', SIZE)],
        [([{"bbox": [20, 10, 5, 5], "label": 2}, {"bbox": [1, 1, 1, 2], "label": "a", "iscrowd": 1}], SIZE)],
        [([{"bbox": [1, 2, 3, 4], "label": "b"}], SIZE)],
        {"y": "boxes", "x": "image"},
    ),
    "target.masks": Example(
        [(np.eye(24, 32, dtype=np.uint8), SIZE), (np.zeros((24, 32), bool), SIZE)],
        [(np.full((24, 32), 255), SIZE)],
        [(np.full((24, 32), 7), SIZE)],
        {"y": "masks", "x": "image"},
    ),
    "target.number": Example([1.0, 3, "5", "1,000"], [2.5], ["x", float("inf")], {"y": "number"}),
}
UNREAD = ("text.plain", "text.split", "target.tags", "target.events", "target.boxes")  # no encoder reads these
SAVED = ("text.tokenizer", "text.stretches")  # read a tokenizer from a file
PLAIN = [name for name in registry.TRANSFORMS if not registry.transform(name).media]
every_transform = pytest.mark.parametrize("name", PLAIN)


@pytest.fixture(scope="session")
def letters(tmp_path_factory):
    """A ``tokenizer.json`` of a few letters that drops what it does not know."""
    letters = {letter: at for at, letter in enumerate(["[PAD]", *"abcdefgrhtxw爱"])}
    tokenizer = Tokenizer(models.BPE(letters, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture
def fitted(name, letters):
    """A fresh transform of that name, fitted on its example."""
    return make(name, letters)


def make(name, letters):
    example = EXAMPLES[name]
    keywords = example.keywords | ({"file": str(letters)} if name in SAVED else {})
    transform = registry.transform(name)(**keywords)
    transform.fit(example.cells, example.columns, LIMITS)
    if hasattr(transform, "see_as"):
        transform.see_as(Frame(16, 16), "x")
    return transform


def same(one, other):
    if isinstance(one, BadCell):
        return type(one) is type(other) and str(one) == str(other)
    return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other)


def test_every_plain_transform_has_an_example():
    assert set(PLAIN) == set(EXAMPLES)


@every_transform
def test_good_cells_give_arrays_and_bad_cells_reasons(name, fitted):
    example = EXAMPLES[name]
    good = fitted.encode([*example.cells, *example.more], LIMITS)
    assert [cell for cell in good if isinstance(cell, BadCell)] == []
    assert len(good) == len(example.cells) + len(example.more)
    for cell in fitted.encode(example.bad, LIMITS):
        assert isinstance(cell, BadCell)
        assert str(cell)


@every_transform
def test_a_cell_is_encoded_alike_whatever_stands_around_it(name, fitted):
    cells = [*EXAMPLES[name].cells, *EXAMPLES[name].bad, *EXAMPLES[name].more]
    together = fitted.encode(cells, LIMITS)
    alone = [fitted.encode([cell], LIMITS)[0] for cell in reversed(cells)]
    assert all(map(same, together, reversed(alone)))
    assert fitted.encode([], LIMITS) == []


@every_transform
def test_what_is_fitted_survives_json(name, fitted, letters, monkeypatch):
    example = EXAMPLES[name]
    keywords = example.keywords | ({"file": "gone"} if name in SAVED else {})
    again = registry.transform(name)(**keywords)
    again.restore(json.loads(json.dumps(fitted.state())))
    cells = [*example.cells, *example.more, *example.bad]
    assert json.loads(json.dumps(again.facts())) == json.loads(json.dumps(fitted.facts()))
    assert all(map(same, fitted.encode(cells, LIMITS), again.encode(cells, LIMITS)))
    assert again.state() == json.loads(json.dumps(fitted.state()))
    assert same(again.blank(), fitted.blank())


@every_transform
def test_fitting_twice_gives_the_same(name, fitted, letters):
    assert make(name, letters).state() == fitted.state()


@every_transform
def test_fields_have_a_row_per_cell_and_padding_changes_no_row(name, fitted):
    cells = fitted.encode([*EXAMPLES[name].cells, *EXAMPLES[name].more], LIMITS)
    together = fitted.collate([*cells, fitted.blank()])
    for row, cell in enumerate(cells):
        alone = fitted.collate([cell])
        for key, values in alone.items():
            assert len(together[key]) == len(cells) + 1
            assert together[key].dtype == values.dtype
            assert values.size == 0 or together[key].ndim == values.ndim
            inside = (row, *map(slice, values.shape[1:]))
            assert np.array_equal(together[key][inside], values[0])
    if "lengths" in together:
        assert together["lengths"].dtype == np.int64
        assert (together["lengths"] >= (0 if name in UNREAD else 1)).all()


CELL = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=30),
    st.integers() | st.just(10**400),
    st.floats(),
    st.booleans(),
    st.binary(max_size=20),
    st.dates() | st.datetimes(),
    st.recursive(st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=4), max_leaves=8),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@every_transform
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(CELL, min_size=1, max_size=4))
def test_no_content_of_a_cell_raises(name, fitted, values):
    if fitted.joint:
        values = [tuple(value for _ in EXAMPLES[name].columns) for value in values]
    arrays = fitted.encode(values, LIMITS)
    assert len(arrays) == len(values)
    good = [array for array in arrays if not isinstance(array, BadCell)]
    for field_values in fitted.collate([*good, fitted.blank()]).values():
        assert np.isfinite(field_values).all()


@every_transform
def test_unseen_labels_are_told_from_broken_cells(name, fitted):
    classes = "classes" in fitted.facts()
    for cell in fitted.encode(EXAMPLES[name].bad, LIMITS):
        assert isinstance(cell, UnseenLabel) == classes
