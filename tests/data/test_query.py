"""``where`` keeps what pandas would keep, and can do nothing but read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfuse.data.query import query_mask
from polyfuse.data.tables import Table, TableError

FRAME = pd.DataFrame(
    {"split": ["train", "test", None], "price": [1.0, np.nan, 3.0], "unit price": [1, 2, 3], "mail": ["a@b", "c", "d"]}
)


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("split == 'test'", [False, True, False]),
        ("price > 2", [False, False, True]),
        ("price.notna() and `unit price` < 3", [True, False, False]),
        ("split.str.startswith('t')", [True, True, False]),
        ("`unit price` in [1, 3]", [True, False, True]),
        ("mail == 'a@b'", [True, False, False]),
        ("not (price == 1)", [False, True, True]),
    ],
)
def test_rows_that_are_kept(expression, kept):
    assert query_mask(FRAME, expression).tolist() == kept


@given(st.lists(st.none() | st.integers(-5, 5), min_size=1), st.integers(-5, 5))
def test_a_missing_cell_is_never_kept_by_a_comparison(cells, bound):
    frame = pd.DataFrame({"a": pd.array(cells, dtype="Int64")})
    assert query_mask(frame, f"a >= {bound}").tolist() == [cell is not None and cell >= bound for cell in cells]


@pytest.mark.parametrize(
    "expression",
    [
        "price.to_csv('out.csv')",
        "split.str.split.__self__",
        "@pd.read_csv('x')",
        "__import__('os').system('touch out.csv')",
        "(`unit price`.to_csv('out.csv')) == 1",
        "'`' == split and price.to_csv('out.csv') == '`'",
        "price = 3",
        "price + 1",
        "pricee > 1",
        "split ==",
        "price > 'a'",
        "`no such` == 1",
        "open('out.csv', 'w')",
        "[price.to_csv('out.csv') for x in split]",
        "",
    ],
)
def test_what_is_refused(tmp_path, monkeypatch, expression):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TableError, match="Columns of the table: split, price"):
        Table(FRAME).where(expression)
    assert not list(tmp_path.iterdir())


def test_no_row_left_is_an_error_and_a_note_says_how_many_are():
    with pytest.raises(TableError, match="none of the 3 rows"):
        Table(FRAME).where("price > 99")
    assert "1 of 3 rows" in Table(FRAME).where("price > 2").notes[-1]
