"""The judge of categories: values as in the metrics' tests, and every kind of table that could trip it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import Outcome


def outcome(rows: int, classes: list, seed: int = 0, power: float = 2.0, missing: float = 0.0) -> Outcome:
    """Targets and predictions that agree the more, the larger ``power``."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(len(classes), size=rows)
    scores = rng.normal(size=(rows, len(classes)))
    scores[np.arange(rows), codes] += power
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    target = [None if rng.random() < missing else classes[c] for c in codes]
    return Outcome("category", target, [classes[c] for c in p.argmax(1)], p.astype(np.float32), classes, scores)


def without_bootstrap(found: Outcome):
    return judge(found, bootstrap=0)


def test_a_known_table():
    target, value = ["a", "a", "b", "b", "b"], ["a", "b", "b", "b", "a"]
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    report = judge(Outcome("category", target, value, p, ["a", "b"]))
    assert report.metrics["accuracy"] == pytest.approx(3 / 5)
    assert report.metrics["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert report.metrics["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.7, 0.4]).mean())
    assert report.metrics["auroc"] == pytest.approx(5 / 6)
    assert report.confusion.counts.tolist() == [[1, 1], [1, 2]]
    assert report.baseline.name == "always 'b'"
    assert report.baseline.metrics["accuracy"] == pytest.approx(3 / 5)
    assert [row["support"] for row in report.per_class] == [2, 3]


def test_rows_without_target_change_nothing():
    full = outcome(60, ["a", "b", "c"], missing=0.3)
    kept = [i for i, t in enumerate(full.target) if t is not None]
    alone = Outcome(
        "category",
        [full.target[i] for i in kept],
        [full.value[i] for i in kept],
        full.probabilities[kept],
        full.classes,
    )
    assert judge(full).metrics == judge(alone).metrics
    assert judge(full).intervals == judge(alone).intervals
    assert np.isnan(judge(full).severity).sum() == 60 - len(kept)
    assert any("No target" in note for note in judge(full).notes)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9), st.integers(1, 5), st.integers(0, 99), st.sampled_from([0.0, 0.5, 1.0]), st.booleans())
def test_any_table_gives_valid_json_and_values_in_range(rows, classes, seed, missing, bare):
    found = outcome(rows, [f"c{i}" for i in range(classes)], seed, missing=missing)
    if bare:
        found = Outcome("category", found.target, found.value)
    report = judge(found, bootstrap=20)
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["rows"] == report.rows
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "ece"):
        assert report.metrics[name] is None or 0 <= report.metrics[name] <= 1 + 1e-12
    if not report.rows:
        assert set(report.metrics.values()) == {None}
        assert report.notes


def test_a_metric_without_value_has_a_note():
    report = judge(outcome(5, ["only"]))
    assert report.metrics["auroc"] is None
    assert any("AUROC" in note for note in report.notes)


def test_a_perfect_table_says_what_it_does_not_prove():
    report = judge(outcome(300, ["a", "b"], power=50))
    assert report.intervals["accuracy"] == (1.0, 1.0)
    assert any("1.0 %" in note for note in report.notes)


def test_intervals_hold_the_value_and_follow_the_seed():
    found = outcome(200, ["a", "b", "c"])
    report = judge(found, seed=3)
    for name, (low, high) in report.intervals.items():
        assert low <= report.metrics[name] <= high
    assert judge(found, seed=3).intervals == report.intervals != judge(found, seed=4).intervals
    assert {"accuracy", "balanced_accuracy", "macro_f1", "log_loss", "auroc"} <= report.intervals.keys()


def test_groups_widen_intervals():
    one = outcome(40, ["a", "b"], power=1.0)
    repeated = Outcome("category", one.target * 20, one.value * 20, np.tile(one.probabilities, (20, 1)), one.classes)
    groups = np.tile(np.arange(40), 20)
    (low, high), (wide_low, wide_high) = (judge(repeated, groups=g).intervals["accuracy"] for g in (None, groups))
    assert wide_high - wide_low > 2 * (high - low)


def test_groups_belong_to_rows_even_where_targets_are_missing():
    full = outcome(60, ["a", "b"], missing=0.3)
    kept = [i for i, t in enumerate(full.target) if t is not None]
    alone = Outcome("category", [full.target[i] for i in kept], [full.value[i] for i in kept], None, full.classes)
    groups = [f"speaker {i % 7}" for i in range(60)]
    found = judge(full, groups=groups).intervals["accuracy"]
    assert found == judge(alone, groups=[groups[i] for i in kept]).intervals["accuracy"]


def test_a_label_the_model_does_not_know_is_named():
    with pytest.raises(ValueError, match="row 1: the label 'bird'"):
        judge(Outcome("category", ["cat", "bird"], ["cat", "cat"], np.ones((2, 1)), ["cat"]))


def test_labels_keep_their_type():
    report = judge(Outcome("category", [3, 5, 3], [3, 3, 3]))
    assert [row["class"] for row in report.to_json()["per_class"]] == [3, 5]


def test_mistakes_with_more_confidence_are_worse():
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    severity = judge(Outcome("category", ["b", "b", "b"], ["a", "a", "b"], p, ["a", "b"])).severity
    assert severity[0] > severity[1] > severity[2] == 0


def test_a_thousand_classes_leave_the_matrix_out_of_the_json_but_not_the_confusions():
    found = without_bootstrap(outcome(500, [f"c{i}" for i in range(1000)]))
    document = found.to_json()
    assert "confusion" not in document
    assert 0 < len(document["top_confusions"]) <= 20
    assert len(document["per_class"]) == 1000
