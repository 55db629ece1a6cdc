"""Tags survive the way to IOB2 and back, and spans are those of seqeval's default."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.tag_schemes import Span, convert, recognise, spans_of, tags_of
from polyfuse.data.tables import read_table

DATA = Path(os.environ.get("POLYFUSE_DATA", "../shared/data")) / "conll2003"
any_tags = st.lists(st.sampled_from(["O", *(f"{letter}-{label}" for letter in "BIES" for label in ("X", "Y"))]))


@st.composite
def sentences(draw):
    """Spans in order, which may touch, and the length of their sentence."""
    spans, at = [], 0
    for gap, length, label in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from("XY")))):
        spans.append(Span(at + gap, at + gap + length, label))
        at = spans[-1].end
    return spans, at + draw(st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(sentences(), st.sampled_from(["iob1", "iob2", "iobes", "bilou"]))
def test_spans_survive_every_scheme(sentence, scheme):
    spans, length = sentence
    tags = tags_of(spans, length, scheme)
    assert len(tags) == length
    assert spans_of(tags) == spans
    assert convert(convert(tags, "iob2"), scheme) == tags


@settings(max_examples=60, deadline=None)
@given(any_tags)
def test_spans_are_those_of_seqeval(tags):
    seqeval = pytest.importorskip("seqeval.metrics.sequence_labeling", reason="needs seqeval")
    assert [(s.label, s.start, s.end - 1) for s in spans_of(tags)] == seqeval.get_entities(tags)


@pytest.mark.parametrize(
    ("sequences", "scheme"),
    [
        ([["I-X", "I-X", "O"], ["I-X", "B-X"]], "iob1"),
        ([["B-X", "I-X", "O"], ["B-X", "B-X"]], "iob2"),
        ([["S-X", "O", "B-Y", "E-Y"]], "iobes"),
        ([["U-X", "O", "B-Y", "L-Y"]], "bilou"),
        ([["NN", "VB"]], "plain"),
        ([[0, 3, 0]], "plain"),
        ([["B-X", "NN"]], "plain"),
        ([["O", "O"]], "plain"),
    ],
)
def test_schemes_are_recognised(sequences, scheme):
    assert recognise(sequences) == scheme


def test_the_tags_of_conll_survive():
    """But for two of 301,418, which break IOB1: a B that follows no span of its label."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there; set POLYFUSE_DATA")
    words = changed = 0
    for name in ("eng.train", "eng.testa", "eng.testb"):
        cells = read_table(DATA / name).frame["tags"]
        assert recognise(cells) == "iob1"
        for tags in cells:
            back = convert(convert(tags, "iob2"), "iob1")
            assert spans_of(back) == spans_of(tags)
            words += len(tags)
            changed += sum(a != b for a, b in zip(tags, back, strict=True))
    assert (words, changed) == (301_418, 2)
