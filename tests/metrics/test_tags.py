"""Metrics of tags are those of seqeval's default, and of scikit-learn word by word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.tag_schemes import spans_of
from polyfuse.evaluation.judges import judge, measure
from polyfuse.evaluation.outcome import Outcome
from polyfuse.metrics import tags as metrics

TAGS = ["O", "B-X", "I-X", "B-Y", "I-Y", "I-Z"]
TRUE = [["B-X", "I-X", "O"], ["O", "B-Y"], ["O"]]
SAID = [["B-X", "I-X", "B-X"], ["O", "B-X"], ["O"]]


@st.composite
def two_sides(draw):
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    tag = st.sampled_from(TAGS)
    return [[draw(st.lists(tag, min_size=n, max_size=n)) for n in lengths] for _ in range(2)]


@settings(max_examples=60, deadline=None)
@given(two_sides())
@pytest.mark.filterwarnings("ignore")
def test_metrics_are_those_of_seqeval(sides):
    reference = pytest.importorskip("seqeval.metrics", reason="needs seqeval")
    true, said = sides
    counts = metrics.count_spans(*([spans_of(tags) for tags in side] for side in sides))
    found = metrics.span_metrics(counts, np.ones((1, len(true))))
    for kind in ("precision", "recall", "f1"):
        wanted = getattr(reference, f"{kind}_score")
        assert found[f"span_{kind}"][0] == pytest.approx(wanted(true, said, zero_division=0))
        if counts.labels:  # seqeval cannot average over none
            for mean in ("macro", "weighted"):
                assert found[f"span_{mean}_{kind}"][0] == pytest.approx(
                    wanted(true, said, average=mean, zero_division=0)
                )
    accuracy = metrics.token_accuracy(metrics.count_tokens(true, said), np.ones(len(true)))
    assert accuracy == pytest.approx(reference.accuracy_score(true, said))


def test_known_values():
    report = judge(Outcome("tags", TRUE, SAID))
    assert report.headline[0] == "span_f1"
    assert report.metrics["span_precision"] == pytest.approx(1 / 3)
    assert report.metrics["span_recall"] == pytest.approx(1 / 2)
    assert report.metrics["span_f1"] == pytest.approx(2 / 5)
    assert report.metrics["span_macro_f1"] == pytest.approx((2 * 1 / (3 + 1) + 0) / 2)
    assert report.metrics["token_accuracy"] == pytest.approx(4 / 6)
    assert report.severity.tolist() == [1, 2, 0]
    assert {row["class"]: row["support"] for row in report.per_class} == {"X": 1, "Y": 1}
    assert 0 < report.intervals["span_f1"][1] <= 1


def test_weights_count_as_repeated_sentences():
    weights = np.array([[3.0, 1.0, 2.0]])
    repeated = [TRUE[0]] * 3 + [TRUE[1]] + [TRUE[2]] * 2, [SAID[0]] * 3 + [SAID[1]] + [SAID[2]] * 2
    found, wanted = measure(Outcome("tags", TRUE, SAID))(weights), judge(Outcome("tags", *repeated), bootstrap=0)
    for name, values in found.items():
        assert values[0] == pytest.approx(wanted.metrics[name]), name


def test_spans_of_characters_are_judged_without_words():
    spans = [{"start": 0, "end": 4, "label": "PER"}, {"start": 9, "end": 12, "label": "LOC"}]
    report = judge(Outcome("tags", [spans, [], None], [spans[:1], [], []]))
    assert report.rows == 2
    assert report.metrics["span_recall"] == 0.5
    assert "token_accuracy" not in report.metrics


def test_plain_labels_are_judged_word_by_word():
    report = judge(Outcome("tags", [["NN", "VB"], ["NN"]], [["NN", "NN"], ["NN"]], classes=["NN", "VB"]))
    assert report.headline[0] == "token_accuracy"
    assert report.metrics["token_accuracy"] == pytest.approx(2 / 3)
    assert [row["class"] for row in report.per_class] == ["NN", "VB"]


def test_another_number_of_tags_is_refused():
    with pytest.raises(ValueError, match="row 0: 2 tags are true and 1 were said"):
        judge(Outcome("tags", [["B-X", "O"]], [["O"]]))


def test_no_target_is_a_report_of_nothing():
    report = judge(Outcome("tags", [None], [[]]))
    assert report.rows == 0
    assert report.metrics["span_f1"] is None
