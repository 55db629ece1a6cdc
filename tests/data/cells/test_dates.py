"""Dates as people write them, and one instant in two zones."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.columns import Columns
from polyfuse.data.cells.dates import parse_date, parse_datetime
from polyfuse.data.cells.source import Limits

FORMS = [
    *("%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y.%m.%d", "%Y年%m月%d日", "%d %b %Y", "%d-%b-%Y %H:%M", "%B %d, %Y"),
    *("%b %d %Y %I:%M %p", "%A, %d %B %Y", "%a, %d %b %Y %H:%M:%S GMT"),
]


@settings(max_examples=60, deadline=None)
@given(st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)), st.sampled_from(FORMS))
def test_years_first_and_months_by_name(moment, form):
    found = parse_datetime(moment.strftime(form))
    assert found is not None
    wanted = datetime.datetime.strptime(moment.strftime(form), form)
    assert found.replace(tzinfo=None) == wanted


@pytest.mark.parametrize(
    "text", ["2024-1-3", "2024/1/3", "3rd Jan 2024", "Jan. 3, 2024", "3 January 2024", "January 3rd 2024"]
)
def test_unpadded_days_and_ordinals(text):
    assert parse_date(text) == parse_date("2024-01-03")


@pytest.mark.parametrize(
    "text", ["3", "May", "3 May 2024x", "2024-13-01", "31 Feb 2024", "1.2.3", "31/12/2024", "soon", ""]
)
def test_what_is_no_date(text):
    assert parse_date(text) is None


def test_pandas_periods_are_dates():
    assert parse_date(pd.Period("2024-03", "M")) == parse_date("2024-03-01")
    assert parse_date(pd.NaT) is None


def fitted(values) -> Columns:
    made, again = Columns(), Columns()
    made.fit([(value,) for value in values], {"when": "date"}, Limits())
    again.restore(json.loads(json.dumps(made.state())))
    return again


UTC = pd.date_range("2024-01-01", periods=300, freq="29h", tz="UTC")


@pytest.mark.parametrize("trained", ["UTC", "Europe/Berlin", "Asia/Kolkata", "+02:00"])
@pytest.mark.parametrize("asked", ["UTC", "Europe/Berlin", "America/New_York", "-03:00"])
@pytest.mark.parametrize("as_text", [False, True])
def test_the_same_instants_in_another_zone_are_the_same_features(trained, asked, as_text):
    here = UTC.tz_convert(trained)
    there = UTC.tz_convert(asked)
    made = fitted(list(here))
    given_ = [moment.isoformat() for moment in there] if as_text else list(there)
    a, b = (made.collate(made.encode([(v,) for v in values], Limits()))["numbers"] for values in (list(here), given_))
    assert np.allclose(a, b)


def test_clocks_without_a_zone_stay_as_they_are():
    made = fitted(list(UTC.tz_localize(None)))
    a, b = made.encode([(UTC[0].tz_localize(None),), (UTC[0].tz_convert("Asia/Kolkata").tz_localize(None),)], Limits())
    assert not np.allclose(a, b)


def test_a_year_that_no_calendar_here_knows_is_no_date():
    for year in ("10001", "-0004"):
        assert parse_date(pd.Timestamp(np.datetime64(f"{year}-01-01", "s"))) is None
        assert parse_date(np.datetime64(f"{year}-01-01", "s")) is None
