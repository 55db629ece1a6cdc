"""The judge of several labels per row."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import Outcome

LABELS = ["red", "green", "blue"]


def test_a_known_table():
    target = [["red"], ["red", "blue"], [], ["green"]]
    value = [["red"], ["red"], ["blue"], ["green"]]
    report = judge(Outcome("labels", target, value, classes=LABELS))
    assert report.metrics["micro_f1"] == pytest.approx(2 * 3 / (4 + 4))
    assert report.metrics["exact_match"] == pytest.approx(1 / 2)
    assert report.metrics["macro_f1"] == pytest.approx((1 + 1 + 0) / 3)
    assert report.severity.tolist() == [0, 1, 1, 0]
    assert report.metrics["map"] is None
    assert any("probabilities" in note for note in report.notes)


def test_no_label_is_a_target_and_none_is_not():
    report = judge(Outcome("labels", [[], None], [[], ["red"]], classes=LABELS))
    assert report.rows == 1
    assert report.metrics["exact_match"] == 1


def test_a_table_without_any_label_at_all():
    report = judge(Outcome("labels", [[], []], [[], []]))
    assert report.metrics["exact_match"] == 1
    assert report.metrics["micro_f1"] is None
    assert any("No row here has a label" in note for note in report.notes)


def test_baseline_is_the_most_frequent_set():
    target = [["red", "blue"], ["blue", "red"], ["green"]]
    report = judge(Outcome("labels", target, target, np.eye(3), LABELS))
    assert report.baseline.name == "always 'red, blue'"
    assert report.baseline.metrics["exact_match"] == pytest.approx(2 / 3)
    assert report.baseline.metrics["map"] == pytest.approx((2 / 3 + 1 / 3 + 2 / 3) / 3)


def test_an_unknown_label_is_named():
    with pytest.raises(ValueError, match="row 0: the label 'pink'"):
        judge(Outcome("labels", [["pink"]], [[]], classes=LABELS))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 8), st.integers(0, 99), st.sampled_from([0.0, 0.5, 1.0]), st.booleans())
def test_any_table_gives_valid_json_and_values_in_range(rows, seed, missing, bare):
    rng = np.random.default_rng(seed)
    p = rng.random((rows, 3))

    def named(matrix):
        return [[label for label, member in zip(LABELS, row, strict=True) if member] for row in matrix]

    target = [None if rng.random() < missing else labels for labels in named(rng.random((rows, 3)) < p)]
    found = Outcome("labels", target, named(p > 0.5), None if bare else p, None if bare else LABELS)
    report = judge(found, bootstrap=20)
    json.dumps(report.to_json(), allow_nan=False)
    assert all(v is None or 0 <= v <= 1 for v in report.metrics.values())
