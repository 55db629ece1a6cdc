"""Splits in time: no row trains that is later than one that validates or tests, ties and groups stay together."""

from __future__ import annotations

import datetime
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.splits import split_rows
from polyfuse.data.tables import TableError
from polyfuse.data.timeline import make_timeline, parse_instant, split_by_shares, split_evenly
from polyfuse.errors import format_count

SHARES = st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.9, 0.1, 0.0), (0.7, 0.0, 0.3)])
times = st.lists(st.one_of(st.none(), st.integers(0, 30)), min_size=4, max_size=50)


def written(numbers, how):
    """The same instants as numbers, as dates, or as text."""
    day = [None if n is None else datetime.datetime(2024, 1, 1) + datetime.timedelta(days=n) for n in numbers]
    cells = {"numbers": numbers, "dates": day, "text": [d and d.strftime("%Y-%m-%d") for d in day]}[how]
    return pd.Series(cells, dtype="datetime64[ns]" if how == "dates" else object)


@settings(max_examples=80, deadline=None)
@given(times, SHARES, st.sampled_from(["numbers", "dates", "text"]), st.booleans())
def test_the_oldest_train_and_the_latest_test(numbers, shares, how, grouped):
    frame = pd.DataFrame({"t": written(numbers, how), "g": [None if n is None else n // 4 for n in numbers]})
    keywords = {"order": "t", "fractions": shares, **({"group": "g"} if grouped else {})}
    known = [n // 4 if grouped else n for n in numbers if n is not None]
    if len(set(known)) < 2:
        with pytest.raises(TableError, match=r"every cell is missing|cannot be split in time"):
            split_rows(frame, **keywords)
        return
    found = split_rows(frame, **keywords)
    sides = [[numbers[row] for row in side] for side in (found.train, found.val, found.test)]
    assert all(n is not None for side in sides for n in side)
    assert sum(map(len, sides)) == len(known)
    assert sides[0]
    assert not any(side for side, share in zip(sides, shares, strict=True) if not share)
    filled = [side for side in sides if side]
    for earlier, later in pairwise(filled):
        assert max(earlier) < min(later), "no instant on two sides, and none trains that is later"
    if grouped:
        of = [{n // 4 for n in side} for side in filled]
        assert sum(map(len, of)) == len(set.union(*of))
    if len(known) < len(numbers):
        lost = format_count(len(numbers) - len(known), "row has no 't' and is", "rows have no 't' and are")
        assert any(f"{lost} left out" in note for note in found.notes)


def test_shares_are_as_near_as_ties_allow():
    numbers = np.random.default_rng(0).permutation(np.arange(200))
    found = split_rows(pd.DataFrame({"t": numbers}), order="t")
    assert [len(s) for s in (found.train, found.val, found.test)] == [160, 20, 20]
    assert any("from 160 on they validate, from 180 on they test" in note for note in found.notes)
    tied = split_rows(pd.DataFrame({"t": np.repeat(np.arange(20), 10)}), order="t")
    assert [len(s) for s in (tied.train, tied.val, tied.test)] == [160, 20, 20]
    assert any("200 rows share theirs" in note for note in tied.notes)


def test_groups_that_go_on_through_every_instant_are_refused():
    frame = pd.DataFrame({"t": range(20), "g": ["a", "b"] * 10})
    with pytest.raises(TableError, match="at every 't' some 'g' goes on"):
        split_rows(frame, order="t", group="g")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["2024-01-01", "soon"], "row 1: 'soon' is neither a number nor a date"),
        ([1, "2024-01-01"], "row 0: '1' is neither"),
        ([None, None], "every cell is missing"),
        ([5, 5, 5], "all rows have the same 't'"),
    ],
)
def test_what_has_no_order_is_said(cells, message):
    with pytest.raises(TableError, match=message):
        split_rows(pd.DataFrame({"t": pd.Series(cells, dtype=object)}), order="t")


def test_time_zones_are_instants():
    assert (
        parse_instant("2024-01-01T12:00+02:00")
        == parse_instant("2024-01-01T10:00Z")
        == parse_instant("2024-01-01 10:00")
    )
    assert parse_instant(pd.Timestamp("2024-01-01 12:00", tz="Europe/Paris")) == parse_instant(
        datetime.datetime(2024, 1, 1, 11)
    )
    assert parse_instant(datetime.date(2024, 1, 2)) - parse_instant("2024/01/01") == 86_400


def test_a_given_split_validates_on_its_latest_rows_and_says_what_is_later():
    frame = pd.DataFrame({"s": ["train"] * 40 + ["test"] * 10, "t": [*range(40), *range(35, 45)]})
    found = split_rows(frame, column="s", order="t")
    assert found.val.tolist() == [36, 37, 38, 39]
    assert any("the latest 10% of its train rows validate" in note for note in found.notes)
    assert any("1 training rows are not older by 't'" in note for note in found.notes)


@settings(max_examples=50, deadline=None)
@given(times, st.integers(2, 6))
def test_parts_follow_each_other(numbers, count):
    if all(n is None for n in numbers):
        return
    line = make_timeline(written(numbers, "numbers"))
    part_N = split_evenly(line.block_N, count)
    known = np.array([n for n in numbers if n is not None])
    if len(set(known)) < 2:
        assert part_N is None
        return
    found = part_N[part_N >= 0]
    assert len(found) == len(known)
    assert sorted(set(found)) == list(range(min(count, len(set(known)))))
    for part in range(1, found.max() + 1):
        assert known[found < part].max() < known[found >= part].min()
    assert (split_by_shares(line.block_N, [0.5, 0.5]) >= 0).sum() == len(known)
