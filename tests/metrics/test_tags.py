"""Metrics of tags are those of seqeval's default, and of scikit-learn word by word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.tag_schemes import spans_of, strict_spans_of
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


@settings(max_examples=60, deadline=None)
@given(two_sides())
@pytest.mark.filterwarnings("ignore")
def test_strict_metrics_are_those_of_seqeval(sides):
    reference = pytest.importorskip("seqeval.metrics", reason="needs seqeval")
    from seqeval.scheme import IOB2

    true, said = sides
    counts = metrics.count_spans(*([strict_spans_of(tags) for tags in side] for side in sides))
    found = metrics.span_metrics(counts, np.ones((1, len(true))), "strict")
    for kind in ("precision", "recall", "f1") if counts.labels else ():
        for mean in ("micro", "macro", "weighted"):
            wanted = getattr(reference, f"{kind}_score")(
                true, said, average=mean, zero_division=0, mode="strict", scheme=IOB2
            )
            assert found[f"strict_{mean}_{kind}".replace("micro_", "")][0] == pytest.approx(wanted)


def test_strict_begins_spans_with_b_alone_and_reads_iob1_by_its_spans():
    report = judge(Outcome("tags", [["B-X", "I-X", "O"]], [["B-X", "I-X", "I-Y"]]))
    assert (report.metrics["span_precision"], report.metrics["strict_precision"]) == (0.5, 1.0)
    iob1 = judge(Outcome("tags", [["I-X", "I-X", "O"], ["I-Y", "B-Y"]], [["I-X", "I-X", "O"], ["I-Y", "I-Y"]]))
    assert iob1.metrics["strict_f1"] == iob1.metrics["span_f1"] == pytest.approx(2 / 5)


@settings(max_examples=40, deadline=None)
@given(two_sides())
def test_words_are_reported_as_by_scikit_learn(sides):
    from sklearn.metrics import classification_report

    true, said = sides
    report = judge(Outcome("tags", true, said), bootstrap=0)
    flat = [[tag for tags in side for tag in tags] for side in sides]
    wanted = classification_report(*flat, output_dict=True, zero_division=0)
    names = {"precision": "precision", "recall": "recall", "f1": "f1-score"}
    rows = report.per_token or report.per_class  # of "O" alone no span tells that tags mark any
    assert {row["class"] for row in rows} == {*flat[0], *flat[1]}
    for row in rows:
        assert row["support"] == wanted[row["class"]]["support"]
        for own, other in names.items():
            assert (row[own] or 0.0) == pytest.approx(wanted[row["class"]][other])
    for mean in ("macro", "weighted"):
        for own, other in names.items():
            assert report.metrics[f"token_{mean}_{own}"] == pytest.approx(wanted[f"{mean} avg"][other])


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
