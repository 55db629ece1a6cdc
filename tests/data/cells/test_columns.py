"""Numbers, categories and dates of a row as one vector."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.columns import CLIP, Columns
from polyfuse.data.cells.dates import parse_date
from polyfuse.data.cells.numbers import parse_number
from polyfuse.data.cells.source import BadCell, Limits

LIMITS = Limits()


def fitted(columns, cells, **keywords):
    made = Columns(**keywords)
    made.fit(cells, columns, LIMITS)
    return made


def fields(made, cells):
    return made.collate(made.encode(cells, LIMITS))


def one(modality, values, **keywords):
    return fitted({"c": modality}, [(value,) for value in values], **keywords)


def numbers(made, values):
    return fields(made, [(value,) for value in values])["numbers"]


def categories(made, values):
    return fields(made, [(value,) for value in values])["categories"][:, 0].tolist()


# ---- numbers


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        *((7, 7), ("7.5", 7.5), (" 1,234.5 ", 1234.5), ("-12,345,678", -12345678), ("12 %", 12), ("$3", 3)),
        *((True, 1), ("1e3", 1000), ("1,23", None), ("abc", None), ("", None), ("12,34,567", None), (10**400, None)),
    ],
)
def test_numbers_as_people_write_them(cell, expected):
    assert parse_number(cell) == expected


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30), st.floats(-1e9, 1e9), st.floats(0.001, 1000))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_scaling_is_bounded_and_keeps_order(values, shift, factor):
    made = one("number", values)
    x = numbers(made, values)
    assert np.abs(x).max() <= CLIP
    order = np.argsort(values, kind="stable")
    assert (np.diff(x[order], axis=0) >= 0).all()


def test_one_wild_value_leaves_the_scale_alone():
    values = list(range(100))
    calm, wild = one("number", values), one("number", [*values, 1e12])
    assert np.abs(numbers(calm, values) - numbers(wild, values)[:, :1]).max() < 0.1
    assert numbers(wild, [1e12])[0, 0] == CLIP


def test_half_of_the_values_alike_still_have_a_spread():
    made = one("number", [0] * 90 + [-1, 1] * 5)
    assert len(np.unique(numbers(made, [-1, 0, 1]))) == 3
    assert numbers(one("number", [4, 4, 4]), [4, 5]).tolist() == [[0], [1]]


def test_long_tails_without_negatives_also_come_as_logarithms():
    tail = np.exp(np.random.default_rng(0).normal(0, 2, 200)).tolist()
    assert one("number", tail).facts()["numbers"] == 2
    assert one("number", [-x for x in tail]).facts()["numbers"] == 1
    assert one("number", np.random.default_rng(0).normal(9, 1, 200).tolist()).facts()["numbers"] == 1
    log = numbers(one("number", tail), sorted(tail))[:, 1]
    assert abs(log.mean()) < abs(numbers(one("number", tail), tail)[:, 0].mean())


def test_missing_is_0_with_a_flag_where_training_misses_values():
    flagged, plain = one("number", [1, None, 3]), one("number", [1, 2, 3])
    assert flagged.facts()["numbers"] == 2
    cells = [(None, 9.0), (2, 9.0)]
    pair = fitted({"a": "number", "b": "number"}, [(None, 1), (1, 2), (2, 3)])
    assert fields(pair, cells)["numbers"][:, 2].tolist() == [1, 0]
    both = fitted({"a": "number", "b": "number"}, [(1, 1), (3, 2)])
    assert plain.facts()["numbers"] == 1
    assert fields(both, [(None, 1)])["numbers"][0, 0] == 0


# ---- categories


def test_categories_of_one_name_share_a_number():
    made = one("category", [1, 1, 2, 2, "x", "x"])
    assert len(set(categories(made, [1, 1.0, "1", np.int64(1), " 1 "]))) == 1
    assert len(set(categories(made, [1, 2, "x"]))) == 3


def test_unseen_and_rare_categories_share_1_and_missing_is_0():
    made = fitted({"a": "category", "b": "number"}, [(label, 1) for label in "aabbc"], min_count=2)
    found = fields(made, [("a", 1), ("b", 1), ("c", 1), ("new", 1), (None, 1)])["categories"][:, 0].tolist()
    assert found == [2, 3, 1, 1, 0]
    assert made.facts()["categories"] == [4]
    assert made.facts()["frequent"] == [[2, 3]]
    assert one("category", "aabbc", min_count=1).facts()["categories"] == [5]


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=20), st.text(min_size=1).filter(str.strip))
def test_category_numbers_lie_below_the_size(seen, other):
    made = one("category", seen, min_count=1)
    (size,) = made.facts()["categories"]
    found = categories(made, [*seen, other])
    assert all(0 < at < size for at in found)
    assert set(categories(made, seen)) == set(range(2, size))


# ---- dates


@pytest.mark.parametrize(
    "cell",
    [
        "2024-01-31 12:30:00",
        "2024-01-31T12:30",
        "2024-01-31T12:30:00+09:00",
        "2024/01/31 12:30",
        datetime.datetime(2024, 1, 31, 12, 30),
        pd.Timestamp("2024-01-31 12:30"),
        np.datetime64("2024-01-31T12:30"),
    ],
)
def test_forms_of_one_moment(cell):
    assert parse_date(cell) == pd.Timestamp("2024-01-31 12:30").timestamp()


@pytest.mark.parametrize("cell", ["31.12.2020", "12/31/2020", "soon", 20240131, 3.5, None])
def test_dates_that_would_be_guesswork_are_not_read(cell):
    assert parse_date(cell) is None


@given(st.dates(datetime.date(1, 1, 1), datetime.date(9999, 12, 31)))
def test_all_dates_are_read_and_bounded(date):
    made = one("date", ["2024-01-31", "2023-01-01", "2020-05-05"])
    assert parse_date(date) == parse_date(date.isoformat()) == (date - datetime.date(1970, 1, 1)).days * 86_400
    x = numbers(made, [date])
    assert np.abs(x).max() <= CLIP


def test_cycles_of_year_week_and_day():
    days = one("date", ["2024-01-01", "2024-06-01", "2025-01-01"])
    assert days.facts()["numbers"] == 5
    hours = one("date", ["2024-01-01", "2024-06-01 10:00"])
    assert hours.facts()["numbers"] == 7
    monday, next_monday, next_year = numbers(days, ["2024-01-01", "2024-01-08", "2024-12-31"])
    assert monday[3:] == pytest.approx(next_monday[3:], abs=1e-5)
    assert monday[1:3] == pytest.approx(next_year[1:3], abs=0.03)
    noon, midnight = numbers(hours, ["2024-01-01 12:00", "2024-01-01"])
    assert noon[5:] == pytest.approx([0, -1], abs=1e-4)
    assert midnight[5:] == pytest.approx([0, 1], abs=1e-4)


# ---- rows


def test_order_of_the_vector_and_empty_parts():
    mixed = fitted({"c": "category", "n": "number"}, [("a", 1.0), ("a", None)])
    row = mixed.encode([("a", 1.0)], LIMITS)[0]
    assert row.tolist() == [0, 0, 2]
    only_numbers, only_categories = one("number", [1, 2]), one("category", ["a", "a"])
    assert fields(only_numbers, [(1,)])["categories"].shape == (1, 0)
    assert fields(only_categories, [("a",)])["numbers"].shape == (1, 0)


def test_what_cannot_be_read_is_missing_in_its_column_and_listed():
    columns = {"n": "number", "c": "category", "d": "date"}
    made = fitted(columns, [(1, "a", "2024-01-01"), (2, "a", "2024-01-02"), (None, "b", None)])
    good, odd = made.encode([(None, "a", None), ("what", "a", "31.12.2020")], LIMITS)
    assert np.array_equal(good, odd)
    listed = made.broken([(None, "a", None), ("what", "a", "31.12.2020"), (1, None, "2024-01-01")])
    assert [(at, name) for at, name, _ in listed] == [(1, "n"), (1, "d")]
    assert "year-month-day" in listed[1][2]


def test_a_row_with_nothing_to_read_is_broken():
    made = fitted({"n": "number", "d": "date"}, [(1, "2024-01-01")])
    found = made.encode([("x", "y"), ("x", "2024-01-01")], LIMITS)
    assert isinstance(found[0], BadCell)
    assert "'n', 'd'" in str(found[0])
    assert not isinstance(found[1], BadCell)


def test_media_columns_are_refused():
    with pytest.raises(ValueError, match="image"):
        one("image", ["a.png"])


def test_real_table(real_data):
    table = pd.read_csv(real_data / "houses" / "table.csv")
    columns = {"bedrooms": "number", "bathrooms": "number", "area": "number", "zipcode": "category"}
    cells = list(table[list(columns)].itertuples(index=False, name=None))
    made = fitted(columns, cells)
    found = fields(made, cells)
    assert found["numbers"].shape == (len(table), made.facts()["numbers"])
    assert made.broken(cells) == []
    assert np.isfinite(found["numbers"]).all()
    assert 0 not in found["categories"]


def test_the_most_frequent_categories_are_known_up_to_a_bound(monkeypatch):
    monkeypatch.setattr("polyfuse.data.cells.columns.FREQUENT", 2)
    made = fitted({"a": "category"}, [(label,) for label in "abbccc"])
    assert made.facts()["frequent"] == [[3, 4]]


def test_quantiles_are_those_of_training_numbers_as_they_are_encoded():
    values = [float(n * n) for n in range(40)]
    made = fitted({"n": "number", "m": "number"}, [(value, None if at % 2 else 1.0) for at, value in enumerate(values)])
    numbers = fields(made, [(value, None if at % 2 else 1.0) for at, value in enumerate(values)])["numbers"]
    quantiles = made.facts()["quantiles"]
    assert len(quantiles) == made.facts()["numbers"] == numbers.shape[1]
    for column, levels in zip(numbers.T, quantiles, strict=True):
        assert levels == sorted(levels)
        np.testing.assert_allclose([levels[0], levels[16], levels[-1]], np.quantile(column, [0, 0.5, 1]), atol=1e-6)


def test_a_state_saved_without_counts_and_quantiles_still_reads_the_same():
    columns = {"n": "number", "c": "category"}
    cells = [(1.0, "a"), (2.0, "b"), (4.0, "a"), (None, "c")]
    made, old = fitted(columns, cells), Columns()
    state = json.loads(json.dumps(made.state()))
    del state["quantiles"], state["columns"]["c"]["counts"]
    old.restore(state)
    for key, values in fields(made, cells).items():
        assert np.array_equal(values, fields(old, cells)[key])
    of_columns = {"owners": [0, 0], "flags": 1}
    assert old.facts() == {"numbers": 2, "categories": [5], "quantiles": [], "frequent": [[2, 3, 4]], **of_columns}


@pytest.mark.parametrize(
    ("trained", "later"),
    [
        *(([True, False], ["true", "FALSE"]), ([True, False], [1, 0.0]), (["true", "false"], [True, False])),
        *(
            ([1, 0], [True, "false"]),
            ([1.0, 0.0], ["1", "0.0"]),
            (["1", "0"], [np.True_, 0]),
            (["3", "4"], [3.0, "4.0"]),
        ),
        (["3.0", "4.0"], [3, "4"]),
    ],
)
def test_one_category_in_any_writing_is_one(trained, later):
    made = Columns()
    made.fit([(value,) for value in trained * 3], {"c": "category"}, Limits())
    assert np.array_equal(made.encode([(v,) for v in trained], Limits()), made.encode([(v,) for v in later], Limits()))


def test_flags_written_in_several_ways_are_two_categories_in_training_too():
    made = Columns()
    made.fit([(value,) for value in ["True", "true", 1, "False", "false", 0]], {"c": "category"}, Limits())
    assert made.facts()["categories"] == [4]


@pytest.mark.parametrize("cell", ["12_345", "0,641", "1,23"])
def test_a_text_that_is_no_number_counts_as_missing(cell):
    made = Columns()
    made.fit([(1.0,), (2.0,)], {"n": "number"}, Limits())
    assert [reason for *_, reason in made.broken([(cell,)])] == [f"{cell!r} is not a number"]
