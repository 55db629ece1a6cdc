"""Which rows are shown: the worst first, others by chance, none twice, none without a target."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import Outcome
from polyfuse.evaluation.previews import CellPreview
from polyfuse.evaluation.samples import choose_rows, samples

severities = st.lists(st.one_of(st.just(np.nan), st.just(0.0), st.floats(0.01, 1)), max_size=20).map(np.array)


@given(severities, st.integers(0, 5), st.integers(0, 5), st.integers(0, 9))
def test_choice(severity, worst, random, seed):
    mistakes, best, drawn = choose_rows(severity, worst, random, seed)
    assert best == []
    shown = mistakes + drawn
    assert len(set(shown)) == len(shown)
    assert not np.isnan(severity[shown]).any()
    assert len(mistakes) == min(worst, int((severity > 0).sum()))
    assert all(severity[m] >= s for m in mistakes for s in np.delete(severity, mistakes) if not np.isnan(s))
    assert len(drawn) == min(random, int((~np.isnan(severity)).sum()) - len(mistakes))
    assert (mistakes, best, drawn) == choose_rows(severity, worst, random, seed)


def test_samples_carry_cells_rows_and_verdicts():
    outcome = Outcome("category", ["a", "b", None], ["a", "a", "a"], np.array([[0.9, 0.1]] * 3), ["a", "b"])
    found = samples(
        "letter", outcome, judge(outcome), lambda i: {"c": CellPreview("text", f"cell {i}")}, rows=[10, 11, 12]
    )
    assert [(s.row, s.worst, s.right) for s in found] == [(11, True, False), (10, False, True)]
    assert found[0].cells["c"].data == "cell 1"
    assert found[0].confidence == 0.9


def test_numbers_are_neither_right_nor_wrong():
    outcome = Outcome("number", [1.0, 2.0], [1.0, 5.0])
    found = samples("n", outcome, judge(outcome), lambda i: {})
    assert [(s.row, s.right) for s in found] == [(1, None), (0, None)]
