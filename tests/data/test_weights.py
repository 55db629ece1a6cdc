"""Weights of rows: any column of numbers from 0 up, and what is wrong said with its column and row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.tables import TableError, read_table
from polyfuse.data.weights import row_weights

NUMBERS = st.one_of(st.floats(0, 1e308), st.integers(0, 9), st.sampled_from(["2", " 3.5 ", "1,000"]))
BAD = st.sampled_from([-1, -0.5, float("nan"), float("inf"), None, "", "much", pd.NA])


@settings(max_examples=60, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=9), BAD, st.integers(0, 8))
def test_good_weights_are_one_on_average_and_bad_ones_name_their_row(cells, bad, at):
    frame = pd.DataFrame({"w": pd.Series(cells, dtype=object), "x": range(len(cells))})
    table, rows = read_table(frame), np.arange(len(cells))
    if table.frame["w"].map(str).map(lambda text: text.strip(" 0.") == "").all():
        with pytest.raises(TableError, match="'w': every weight is 0"):
            row_weights(table, "w", rows)
    else:
        found = row_weights(table, "w", rows)
        assert (found >= 0).all()
        assert found[found > 0].mean() == pytest.approx(1)
    at %= len(cells)
    table.frame["w"] = table.frame["w"].astype(object)
    table.frame.loc[at, "w"] = bad
    with pytest.raises(TableError, match=f"'w', .*row {at}: expected a number of 0 or more"):
        row_weights(table, "w", rows)
    others = np.setdiff1d(rows, [at])
    if len(others) and any(str(table.frame["w"][row]).strip(" 0.") for row in others):
        assert row_weights(table, "w", others)[at] == 0, "a row that is not asked for needs no weight"


def test_weights_with_a_decimal_comma_are_read():
    frame = pd.DataFrame({"w": ["0,5", "1,25", "1,25"], "y": [1, 2, 3]})
    assert row_weights(read_table(frame), "w", np.arange(3)) == pytest.approx([0.5, 1.25, 1.25])


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(TableError, match="did you mean 'weight'"):
        row_weights(read_table(pd.DataFrame({"weight": [1]})), "weights", np.arange(1))
