"""Plain JSON values, and the parts of an output's report that are not just stored."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import Confusion, Outcome, to_plain_json

anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
        st.floats(width=32).map(np.float32), st.integers(-5, 5).map(np.int64),
        st.lists(st.floats(), max_size=3).map(np.array),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)  # fmt: skip


@given(anything)
def test_plain_is_always_valid_json(value):
    json.dumps(to_plain_json(value), allow_nan=False)


def test_top_confusions_are_the_largest_off_the_diagonal():
    counts = np.array([[9, 2, 0], [5, 9, 0], [0, 1, 9]])
    found = Confusion(list("abc"), counts).top(2)
    assert found == [{"target": "b", "predicted": "a", "rows": 5}, {"target": "a", "predicted": "b", "rows": 2}]


def test_nan_and_none_are_no_targets():
    assert Outcome("number", [None, float("nan"), np.float64("nan"), 0, 1.5], [0] * 5).judged().tolist() == [3, 4]


def test_an_unknown_task_names_the_known_ones():
    with pytest.raises(ValueError, match="did you mean 'category'"):
        judge(Outcome("categorie", [1], [1]))


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 targets but 1 predictions"):
        judge(Outcome("number", [1, 2], [1]))
