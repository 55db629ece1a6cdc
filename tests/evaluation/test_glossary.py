"""How numbers are written for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfuse.evaluation import glossary
from polyfuse.evaluation.judges import category, labels
from polyfuse.evaluation.judges import number as numbers
from polyfuse.evaluation.judges import text as texts


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0, "0.000"), (1234567.8, "1,234,568"), (123.456, "123.5"), (12.345, "12.35"), (1.2345, "1.234"),
     (0.01234, "0.012"), (0.000123, "0.000123"), (-0.358, "−0.358"), (1200, "1,200"), (None, "–")],
)  # fmt: skip
def test_number(value, text):
    assert glossary.format_number(value) == text


@given(st.floats(0.001, 1e9))
def test_a_written_number_is_within_half_a_percent(value):
    tolerance = 0.05 if value < 0.1 else 0.005
    assert float(glossary.format_number(value).replace(",", "")) == pytest.approx(value, rel=tolerance)


def test_percentages_and_differences():
    assert glossary.format_value("accuracy", 0.9734) == "97.3 %"
    assert glossary.format_interval("accuracy", (0.95, 0.99)) == "95.0 to 99.0 %"
    assert glossary.format_interval("rmse", (1000.0, 2000.0)) == "1,000 to 2,000"
    assert glossary.format_interval("rmse", None) == ""
    assert glossary.format_difference("accuracy", -0.0321) == "−3.2 points"
    assert glossary.format_difference("r2", 0.5) == "+0.500"


def test_every_metric_of_a_judge_has_words():
    for judge in (category, labels, numbers, texts):
        assert set(judge.NAMES) <= glossary.TERMS.keys()
        assert set(judge.HEADLINE) <= set(judge.NAMES)


def test_a_metric_without_words_goes_by_its_name():
    assert glossary.term("bleu_5").title == "bleu 5"
