"""Costs and thresholds per class: the answer of least expected cost, thresholds met exactly, mistakes named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.heads.category import Category
from polyfuse.heads.labels import Labels

CLASSES = ["a", "b", "c"]


def category(classes=CLASSES, **keywords):
    return Category(name="y", width=4, classes=list(classes), counts=[1] * len(classes), **keywords)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-4, 4), min_size=3, max_size=3), st.lists(st.floats(0.1, 20), min_size=3, max_size=3))
def test_the_answer_has_the_least_expected_cost(scores, costs):
    found = category(cost=dict(zip(CLASSES, costs, strict=True))).decode(torch.tensor([scores]))
    p = found.extra["probabilities"][0].astype(float)
    expected = [sum(p[c] * costs[c] for c in range(3) if c != answer) for answer in range(3)]
    assert expected[CLASSES.index(found.value[0])] <= min(expected) + 1e-6
    assert found.extra["confidence"][0] == found.extra["probabilities"][0][CLASSES.index(found.value[0])]


@settings(max_examples=50, deadline=None)
@given(st.floats(-4, 4), st.floats(0.01, 0.99))
def test_a_threshold_is_where_one_of_two_classes_begins(score, bar):
    found = category("ab", threshold={"b": bar}).decode(torch.tensor([[0.0, score]]))
    p = found.extra["probabilities"][0, 1]
    assert abs(p - bar) < 1e-6 or (found.value[0] == "b") == (p > bar)


def test_labels_are_given_from_their_own_threshold_on():
    scores = torch.tensor([[0.0, 0.0, -3.0]])
    made = {"name": "y", "width": 4, "classes": CLASSES, "counts": [1, 1, 1]}
    assert Labels(**made).decode(scores).value == [["a", "b"]]
    assert Labels(**made, threshold={"b": 0.6, "c": 0.01}).decode(scores).value == [["a", "c"]]
    assert Labels(**made, threshold=0.6).decode(scores).value == [[]]
    assert np.allclose(Labels(**made, cost={"c": 9}).rule_C, [0.5, 0.5, 0.1])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"cost": {"d": 1}}, "no class 'd'"),
        ({"cost": {"a": -1}}, "expected a number from 0 on, found -1"),
        ({"cost": {"a": float("nan")}}, "expected a number from 0 on"),
        ({"cost": {"a": "much"}}, "expected a number from 0 on, found 'much'"),
        ({"threshold": {"a": 0.3}}, "With more classes, give each its cost"),
        ({"cost": {"a": 1}, "threshold": {"a": 0.3}}, "found both"),
    ],
)
def test_mistakes_are_named(keywords, message):
    with pytest.raises(ValueError, match=message):
        category(**keywords)


def test_classes_are_known_by_how_they_are_written():
    assert category([1, 2]).decision_rule(cost={"2": 5}).tolist() == [1, 5]
    assert category([True, False]).decision_rule(cost={True: 5}).tolist() == [5, 1]
