"""Numbers and dates as text: one convention per column, told, kept for later tables, or refused where it is open."""

from __future__ import annotations

import datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polyfuse as pf
from polyfuse.data.cells.numbers import parse_number
from polyfuse.data.modalities import infer_columns
from polyfuse.data.tables import TableError, read_table
from tests.tiny import FAST


def written(value: float, decimals: int, mark: str, thousands: str) -> str:
    return f"{value:,.{decimals}f}".translate(str.maketrans({",": thousands, ".": mark}))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-(10**9), 10**9).map(lambda n: n / 100), min_size=3, max_size=12, unique=True),
    st.sampled_from([(".", ","), (",", "."), (",", ""), (".", ""), (",", "\u00a0"), (",", "\u202f"), (".", "'")]),
    st.sampled_from(["{}", " {} ", "{} %", "€{}"]),
    st.booleans(),
)
def test_numbers_with_cents_are_what_was_written(tmp_path_factory, values, marks, around, in_file):
    cells = [around.format(written(value, 2, *marks)) for value in values]
    frame = pd.DataFrame({"price": cells, "n": range(len(cells))})
    if in_file:
        path = tmp_path_factory.mktemp("t") / "t.csv"
        frame.to_csv(path, index=False)
        frame = path
    table = read_table(frame)
    assert [parse_number(cell) for cell in table.frame["price"]] == pytest.approx(values)
    assert infer_columns(table)["price"].modality == "number"
    assert any("decimal points" in note for note in table.notes) == (marks[0] == ",")


CASES = {
    "fractions": (["0,641", "0,5", "0,125"], [0.641, 0.5, 0.125]),
    "both marks": (["1.234,56", "3,5", "850"], [1234.56, 3.5, 850]),
    "thousands as in English": (["1,234", "850", "12,000"], [1234, 850, 12000]),
    "thousands with points": (["1.230", "850", "12.500"], [1230, 850, 12500]),
    "several points": (["1.234.567", "850"], [1234567, 850]),
    "three decimals each": (["1.234", "5.678"], [1.234, 5.678]),
    "whole beside three decimals": (["1.234", "5.678", "12000"], [1.234, 5.678, 12000]),
    "French": (["1 234,5", "2 000,25", "7,5"], [1234.5, 2000.25, 7.5]),
    "Swiss": (["1'234.50", "2’000.25"], [1234.5, 2000.25]),
    "minus sign": (["\u22121,5", "2,5"], [-1.5, 2.5]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("in_file", [True, False])
def test_one_convention_is_decided_over_the_whole_column(tmp_path, name, in_file):
    cells, values = CASES[name]
    frame = pd.DataFrame({"x": cells, "y": "z"})
    if in_file:
        frame.to_csv(tmp_path / "t.csv", index=False)
    table = read_table(tmp_path / "t.csv" if in_file else frame)
    assert [parse_number(cell) for cell in table.frame["x"]] == values
    assert table.undecided == {}


@pytest.mark.parametrize("cells", [["1.234", "850", "7.251"], ["1,5", "2.5", "0.25", "0,125"], ["1.234", "1,234"]])
def test_what_stays_open_is_refused_and_can_be_said(tmp_path, cells):
    frame = pd.DataFrame({"x": cells * 10, "y": [f"{n % 2}" for n in range(10 * len(cells))]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for source in (frame, tmp_path / "t.csv"):
        table = read_table(source)
        column = infer_columns(table)["x"]
        assert (column.modality, column.role) == ("unknown", "unusable")
        assert any("'x'" in note for note in table.notes)
        with pytest.raises(TableError, match=r"column 'x'"):
            infer_columns(table, {"x": "number"})
    with pytest.raises(ValueError, match="output 'x'"):
        pf.fit(frame, outputs=["x"], quiet=True)
    comma = read_table(tmp_path / "t.csv", formats={"x": "comma"})
    assert parse_number(comma.frame["x"][0]) == parse_number(cells[0].replace(".", "").replace(",", "."))


def test_the_rest_of_the_table_decides_for_a_column_that_does_not():
    open_one = ["1.234", "850", "7.251"]
    assert read_table({"a": open_one, "b": ["0,5", "1,25", "3,0"]}).frame["a"].tolist() == [1234, 850, 7251]
    pointed = read_table({"a": open_one, "b": ["0.5", "1.25", "3.0"]})
    assert [parse_number(cell) for cell in pointed.frame["a"]] == [1.234, 850, 7.251]
    assert any("read as 1.234; were it otherwise, set data.formats.a=comma" in note for note in pointed.notes)


def test_semicolons_between_cells_go_with_decimal_commas(tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n1,234;x\n2,500;y\n")
    assert read_table(tmp_path / "t.csv").frame["a"].tolist() == [1.234, 2.5]


@pytest.mark.parametrize("cell", ["12_345", "1_000.5", "0,641", "1,23", "1,2345", "3,5"])
def test_what_is_no_number_with_a_point_is_none(cell):
    assert parse_number(cell) is None


def test_words_sets_and_codes_are_left_alone():
    columns = {
        "name": ["Smith, John", "Doe, Jane", "Roe, Max"],
        "tags": ["1,2,3", "4,5", "1"],
        "address": ["10.0.0.1", "192.168.1.20", "10.1.2.3"],
        "code": ["007", "012", "850"],
    }
    table = read_table(columns)
    assert table.frame.to_dict("list") == columns
    assert (table.notes, table.formats) == ([], {})


DAYS = [datetime.date(2024, month, day) for month, day in [(1, 31), (2, 3), (12, 25), (4, 4)]]


@pytest.mark.parametrize(
    ("pattern", "order"),
    [
        *(("%d.%m.%Y", "day_first"), ("%d/%m/%Y", "day_first"), ("%m/%d/%Y", "month_first"), ("%d-%m-%Y", "day_first")),
        *(("%d.%m.%y", "day_first"), ("%m/%d/%Y %I:%M %p", "month_first"), ("%d.%m.%Y %H:%M:%S", "day_first")),
    ],
)
def test_dates_in_any_order_are_read_as_the_column_shows(tmp_path, pattern, order):
    moments = [datetime.datetime(d.year, d.month, d.day, 15, 30) for d in DAYS]
    frame = pd.DataFrame({"when": [moment.strftime(pattern) for moment in moments], "y": "z"})
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = read_table(tmp_path / "t.csv")
    assert table.formats == {"when": order}
    assert infer_columns(table)["when"].modality == "date"
    assert [cell[:10] for cell in table.frame["when"]] == [day.isoformat() for day in DAYS]
    assert [" 15:30" in cell for cell in table.frame["when"]] == ["%M" in pattern] * len(DAYS)
    assert any(order.replace("_", " ").removesuffix(" first") in note for note in table.notes)
    # a later table of one row, which could be read in two ways, is read in the same
    frame.iloc[[1]].to_csv(tmp_path / "one.csv", index=False)
    later = read_table(tmp_path / "one.csv", formats=table.formats, decide=False)
    assert later.frame["when"][0][:10] == "2024-02-03"


def test_dates_that_can_be_read_in_two_ways_are_refused():
    table = read_table({"when": ["01/02/2024", "03/04/2024", "05/06/2024"]})
    column = infer_columns(table)["when"]
    assert (column.modality, column.role) == ("unknown", "unusable")
    assert "data.formats.when=day_first" in column.reason


def test_a_model_reads_later_tables_in_the_convention_of_its_own(tmp_path):
    prices = [1000 * (n % 2) + n / 10 + 1 for n in range(40)]
    frame = pd.DataFrame(
        {"price": [written(p, 2, ",", ".") for p in prices], "label": ["dear" if p > 999 else "cheap" for p in prices]}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    model = pf.fit(tmp_path / "t.csv", outputs=["label"], settings=FAST, quiet=True)
    assert any("'price': commas read as decimal points" in note for note in model.notes)
    assert model.recipe.data.formats == {"price": "comma"}
    (tmp_path / "new.csv").write_text("price\n1.003\n2\n")  # a float of little more than 1, were it read alone
    read = model.predict(tmp_path / "new.csv").drop(columns="row")
    assert read.equals(model.predict(pd.DataFrame({"price": [1003.0, 2.0]})).drop(columns="row"))
