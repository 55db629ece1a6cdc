"""Weighted primitives against the plain thing: repeat each row as often as its weight says."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from polyfuse.metrics.weighted import mean_of_defined, ratio, sum_by, weight_below, weighted_mean


def pair(first, second, replicates: int | None = None):
    """Two arrays over the same 1 to 12 rows, the second with leading replicates if asked for."""

    def of(rows: int):
        shape = (replicates, rows) if replicates else rows
        return st.tuples(arrays(first[0], rows, elements=first[1]), arrays(int, shape, elements=second))

    return st.integers(1, 12).flatmap(of)


codes, counts = (int, st.integers(0, 4)), st.integers(0, 3)


@given(pair(codes, counts, replicates=3))
def test_sum_by_adds_within_each_code(case):
    codes, values = case
    expected = [[row[codes == code].sum() for code in range(6)] for row in values]
    np.testing.assert_allclose(sum_by(codes, 6, values), expected)


@given(pair(codes, counts))
def test_weight_below_counts_repeated_rows(case):
    values, weights = case
    repeated = np.repeat(values, weights)
    below, through = weight_below(values, weights.astype(float), values)
    np.testing.assert_array_equal(below, [(repeated < v).sum() for v in values])
    np.testing.assert_array_equal(through, [(repeated <= v).sum() for v in values])


@given(pair((float, st.floats(-9, 9)), counts))
def test_weighted_mean_is_the_mean_of_repeated_rows(case):
    values, weights = case
    repeated = np.repeat(values, weights)
    expected = repeated.mean() if len(repeated) else np.nan
    np.testing.assert_allclose(weighted_mean(values, weights), expected, atol=1e-12)


def test_nothing_to_divide_by_is_nan_and_silent():
    with np.errstate(all="raise"):
        assert np.isnan(ratio(np.array(3.0), np.array(0.0)))
        assert np.isnan(mean_of_defined(np.array([np.nan, np.nan])))
    assert mean_of_defined(np.array([np.nan, 2.0, 4.0])) == 3
