"""Targets: labels and numbers to arrays and back, and errors that name what is wrong."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.source import BadCell, Limits, UnseenLabel
from polyfuse.data.cells.targets import Category, Labels, Number
from polyfuse.data.modalities import infer_output

LIMITS = Limits()
COLUMN = {"mood": "category"}


def fitted(made, cells):
    made.fit(cells, COLUMN, LIMITS)
    again = type(made)()
    again.restore(json.loads(json.dumps(made.state())))
    return again


def encoded(made, *cells):
    return made.encode(cells, LIMITS)


labels = st.one_of(
    st.lists(st.text(min_size=1, max_size=5).map(str.strip).filter(bool), min_size=2, max_size=20),
    st.lists(st.integers(), min_size=2, max_size=20),
    st.lists(st.booleans(), min_size=2, max_size=20),
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20),
)


@given(labels)
def test_labels_come_back_as_they_were(cells):
    assume(len(set(cells)) > 1)
    made = fitted(Category(), cells)
    back = made.decode(encoded(made, *cells))
    assert back == cells
    types = {type(value) for value in back}
    assert types <= ({int, float} if type(cells[0]) is float else {type(cells[0])})
    facts = made.facts()
    assert [cells.count(label) for label in facts["classes"]] == facts["counts"]
    assert made.collate(encoded(made, *cells))["target"].dtype == np.int64


def test_numpy_labels_become_plain_and_whole_floats_become_integers():
    assert fitted(Category(), list(np.array([1.0, 2.0, 2.5]))).classes == [1, 2, 2.5]
    assert fitted(Category(), list(np.array([True, False]))).classes == [False, True]
    assert all(type(label) is int for label in fitted(Category(), [1.0, np.float32(2)]).classes)


def test_a_label_is_known_whatever_the_file_made_of_it():
    numbers, texts = fitted(Category(), [1, 2]), fitted(Category(), ["1", "2", "x"])
    assert {int(array) for array in encoded(numbers, 2, 2.0, "2", " 2 ", "2.0", np.int8(2))} == {1}
    assert {int(array) for array in encoded(texts, 2, "2", " 2 ")} == {1}


def test_an_unseen_label_is_named_with_the_known_ones():
    made = fitted(Category(), [f"l{n:02}" for n in range(30)])
    (error,) = encoded(made, "new")
    assert isinstance(error, UnseenLabel)
    assert "'new'" in str(error)
    assert "'l09'" in str(error)
    assert "'l10'" not in str(error)
    assert "20 more" in str(error)


def test_one_class_alone_is_refused():
    with pytest.raises(ValueError, match=r"'mood'.*'good'"):
        Category().fit(["good", "good"], COLUMN, LIMITS)


# ---- sets of labels


@pytest.mark.parametrize("separator", ["|", ";", ","])
def test_separators_are_found(separator):
    cells = [f"b{separator} a", "a", f"c{separator}"]
    made = fitted(Labels(), cells)
    assert made.facts() == {"classes": ["a", "b", "c"], "counts": [2, 1, 1]}
    assert made.decode(encoded(made, *cells)) == [["a", "b"], ["a"], ["c"]]


def test_a_bar_wins_over_a_comma_and_a_named_separator_over_both():
    assert fitted(Labels(), ["a, b|c"]).classes == ["a, b", "c"]
    assert fitted(Labels(separator=","), ["a, b|c"]).classes == ["a", "b|c"]


def test_lists_of_labels_and_none_at_all():
    made = fitted(Labels(), [["a", "b"], np.array(["b", "c"], dtype=object), ("a", "a")])
    assert made.facts()["counts"] == [2, 2, 1]
    target = made.collate(encoded(made, ["b"], [], "c|a"))["target"]
    assert target.tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 1]]
    assert target.dtype == np.float32
    (error,) = encoded(made, ["a", "new"])
    assert isinstance(error, UnseenLabel)
    assert "'new'" in str(error)
    with pytest.raises(ValueError, match="mood"):
        Labels().fit([[], []], COLUMN, LIMITS)


# ---- numbers


@given(st.lists(st.integers(-(10**6), 10**6).map(lambda n: n / 8), min_size=2, max_size=30), st.booleans())
def test_numbers_come_back_and_are_standardised(cells, positive):
    assume(len(set(cells)) > 1)
    cells = [abs(cell) for cell in cells] if positive else cells
    assume(len(set(cells)) > 1)
    made = fitted(Number(), cells)
    assume(not made.outliers)
    arrays = encoded(made, *cells)
    assert made.decode(arrays) == pytest.approx(cells, rel=1e-6, abs=1e-6 * max(map(abs, cells)))
    target = made.collate(arrays)["target"]
    assert target.dtype == np.float32
    assert abs(target.mean()) < 1e-3
    assert abs(target.std() - 1) < 1e-3
    low, high = made.facts()["bounds"]
    assert (low, high) == pytest.approx((target.min(), target.max()), abs=1e-5)


DRAW = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("cells", "log"),
    [
        (np.exp(DRAW.normal(12, 1, 300)), "log"),
        (np.floor(np.exp(DRAW.normal(1, 1.5, 300))), "log1p"),
        (DRAW.normal(100, 5, 300), "none"),
        (DRAW.uniform(1, 2, 300) ** 0.2, "none"),
        (-np.exp(DRAW.normal(12, 1, 300)), "none"),
    ],
)
def test_a_log_scale_is_taken_where_it_fits_better(cells, log):
    assert fitted(Number(), list(cells)).facts()["log"] == log


def test_the_scale_can_be_named():
    cells = [1, 2, 3, 1000]
    assert fitted(Number(), cells).log == "log"
    assert fitted(Number(scale="linear"), cells).log == "none"
    assert fitted(Number(scale="log"), [4, 5, 6]).log == "log"
    with pytest.raises(ValueError, match="-1"):
        Number(scale="log").fit([-1, 2], COLUMN, LIMITS)
    with pytest.raises(ValueError, match="auto, linear or log"):
        Number(scale="cubic")


@pytest.mark.parametrize("cell", ["x", math.inf, "nan", [1]])
def test_what_is_no_number_is_broken(cell):
    made = fitted(Number(), [1, 2, 3])
    (error,) = encoded(made, cell)
    assert isinstance(error, BadCell)
    assert "finite number" in str(error)


def test_a_negative_number_on_a_log_scale_is_broken():
    made = fitted(Number(scale="log"), [1, 2, 3])
    assert all(isinstance(error, BadCell) for error in encoded(made, 0, -5))


@pytest.mark.parametrize(("cells", "reason"), [([3, 3.0, "3"], "3"), (["x", "y"], "no training row has a number")])
def test_nothing_to_learn_is_refused(cells, reason):
    with pytest.raises(ValueError, match=f"'mood'.*{reason}"):
        Number().fit(cells, COLUMN, LIMITS)


def learnt(values, scale="auto"):
    made = Number(scale=scale)
    made.fit(list(values), {"y": "number"}, LIMITS)
    return made


NEAR_SEVEN = (7 + np.random.default_rng(0).normal(size=100)).tolist()


@pytest.mark.parametrize(
    ("far", "scale"),
    [([1e9], "auto"), ([-1e9], "auto"), ([1e300], "auto"), ([1e9, -5e10, 2e9], "auto"), ([1e9], "log")],
)
def test_outliers_leave_the_scale_to_the_others_and_are_said(far, scale):
    made, plain = learnt(NEAR_SEVEN + far, scale), learnt(NEAR_SEVEN, scale)
    assert made.facts() == plain.facts()
    assert plain.notes == []
    (note,) = made.notes
    assert f"'y': {len(far)} of {100 + len(far)} training numbers" in note
    assert all(f"{value:g}" in note for value in far)
    cells = [cell for cell in made.encode(NEAR_SEVEN + far, LIMITS) if not isinstance(cell, BadCell)]
    targets = made.collate(cells)["target"]
    assert np.isfinite(targets).all()
    assert np.ptp(targets[:100]) > 3  # what is usual differs
    assert np.abs(targets).max() < 6
    decoded = made.decode(cells)
    assert np.allclose(decoded[:100], NEAR_SEVEN)
    assert decoded[-1] == pytest.approx(far[-1], rel=1e-6)  # judged as it is
    again = Number(scale=scale)
    again.restore(json.loads(json.dumps(made.state())))
    assert np.array_equal(again.collate(cells)["target"], targets)


@pytest.mark.parametrize(
    "values",
    [
        np.exp(np.random.default_rng(0).normal(size=500) * 2.5),
        np.random.default_rng(0).standard_t(2, size=1000),
        [0] * 98 + [3, 5000.0],
        [*range(20), 500],
        [1, 2, 3, 1000],
    ],
)
def test_long_tails_are_no_outliers(values):
    assert learnt(values).notes == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([2**60 + k for k in range(100)], "differ by less than double precision can tell; subtract 1.15292e"),
        ([str(2**60 + k) for k in range(1000)], "differ by less than double precision"),
        ([n * 1e150 for n in NEAR_SEVEN], "too large to learn; divide"),
        ([1e-320, 2e-320, 3e-320], "too small to learn; multiply"),
        ([5.0, 5, "5"], "every training row has the number 5"),
    ],
)
def test_numbers_that_double_precision_loses_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        learnt(values)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=40))
@settings(max_examples=100, deadline=None)
def test_numbers_are_learnt_on_a_finite_scale_or_refused_in_words(values):
    try:
        made = learnt(values)
    except ValueError as error:
        assert str(error).startswith("output 'y': ")  # noqa: PT017
        return
    cells = [cell for cell in made.encode(values, LIMITS) if not isinstance(cell, BadCell)]
    assert np.isfinite([made.centre, made.spread, *made.bounds, *made.collate(cells)["target"]]).all()


@pytest.mark.parametrize(
    "write", [str, json.dumps, set, frozenset, tuple, lambda s: str(set(s)), lambda s: str(np.array(s)), np.array]
)
def test_sets_of_labels_however_they_are_written(write):
    sets = [["a", "b c"], ["b c", "d"], ["a", "d"], ["d"]]
    cells = [write(labels) for labels in sets]
    made = fitted(Labels(), cells)
    assert made.classes == ["a", "b c", "d"]
    assert made.decode(encoded(made, *cells)) == sets
    assert made.decode(encoded(made, "[]", "set()")) == [[], []]
    assert infer_output(pd.Series(cells * 5, dtype=object, name="y"))[0] == "labels"


@pytest.mark.parametrize("write", [list, np.array, str, lambda s: str(np.array(s)), lambda s: [float(x) for x in s]])
def test_flags_per_label_are_sets_of_places(write):
    flags = [[1, 0, 1], [0, 1, 1], [0, 0, 0], [1, 1, 0]]
    cells = [write(cell) for cell in flags]
    made = fitted(Labels(), cells)
    assert made.classes == [0, 1, 2]
    assert made.decode(encoded(made, *cells)) == [[0, 2], [1, 2], [], [0, 1]]
    assert infer_output(pd.Series(cells * 5, dtype=object, name="y"))[0] == "labels"


@pytest.mark.parametrize(
    ("classes", "given_"),
    [
        *(([True, False], ["true", "TRUE", 1, 1.0, "1", np.True_]), (["true", "false"], [True, "True", 1, "1"])),
        *(([1, 0], [True, "true", 1.0, "1", "1.0"]), (["0", "1"], [True, "True", 1.0])),
    ],
)
def test_one_flag_in_any_writing_is_one_label(classes, given_):
    made = fitted(Category(), classes * 3)
    yes = [next(label for label in classes if str(label).lower() in ("true", "1"))]
    assert made.decode(encoded(made, *given_)) == yes * len(given_)
    (error,) = encoded(made, 2)
    assert isinstance(error, UnseenLabel)


def test_intervals_are_classes_from_low_to_high():
    cells = pd.cut(pd.Series([1, 3, 7, 12, 30, 4, 8, 40]), [0, 5, 10, 50])
    made = fitted(Category(), list(cells))
    assert made.classes == ["(0, 5]", "(5, 10]", "(10, 50]"]
    assert made.decode(encoded(made, *cells, "(5, 10]")) == [*map(str, cells), "(5, 10]"]
    assert infer_output(pd.concat([cells] * 4).rename("y"))[0] == "category"
