"""Ready-made features: read from every form, brought to one scale, refused when they are something else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfuse.data.cells.source import BadCell, Limits
from polyfuse.data.cells.vectors import Sequence, Vector, as_array

LIMITS = Limits()
COLUMN = {"features": "vector"}


def fitted(made, cells):
    made.fit(cells, COLUMN, LIMITS)
    return made


def encoded(made, cells):
    return made.encode(cells, LIMITS)


@pytest.mark.parametrize(
    "cell",
    [
        *([1, 2.5, -3], (1, 2.5, -3), np.array([1, 2.5, -3], dtype=np.float16), np.array([1, 2.5, -3], dtype=object)),
        *("[1, 2.5, -3]", " [1,2.5,-3]\n", "1 2.5 -3", "1, 2.5, -3", "1;2.5;-3", "1\t2.5\n-3,"),
    ],
)
def test_forms_of_one_vector(cell):
    assert as_array(cell, 1).tolist() == [1, 2.5, -3]


def test_forms_of_one_sequence():
    expected = [[1, 2], [3, 4], [5, 6]]
    ragged = np.empty(3, dtype=object)
    ragged[:] = [np.array(row) for row in expected]
    for cell in (expected, np.array(expected), ragged, "[[1, 2], [3, 4], [5, 6]]"):
        assert as_array(cell, 2).tolist() == expected
    assert as_array([7, 8], 2).tolist() == [[7], [8]]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        *(("hello", "expected numbers"), ("[1, 2", "expected numbers"), ([[1, 2], [3]], "expected numbers")),
        *(([[1, 2]], "shape"), (3, "shape"), ([1, float("nan")], "finite"), ([float("inf")], "finite")),
        *(([10**400], "expected numbers"), ({"a": 1}, "expected numbers"), ([None, 1], "finite")),
    ],
)
def test_what_is_no_vector_says_why(cell, reason):
    found = as_array(cell, 1)
    assert isinstance(found, BadCell)
    assert reason in str(found)


feature = st.integers(-(10**6), 10**6).map(lambda n: n / 100)
rows = st.lists(st.lists(feature, min_size=3, max_size=3), min_size=2, max_size=20)


@given(rows)
def test_features_have_mean_0_and_deviation_1_or_never_change(cells):
    made = fitted(Vector(clip=1e9), cells)
    x = made.collate(encoded(made, cells))["x"]
    assert np.abs(x.mean(0)).max() < 1e-3
    for deviation, feature in zip(x.std(0), np.array(cells).T, strict=True):
        assert abs(deviation - 1) < 1e-3 or np.ptp(feature) <= 1e-6 * np.abs(feature).max()


def test_what_lies_far_out_is_clipped_unless_scales_are_kept():
    cells = [[0.0, 5.0], [1.0, 5.0]]
    assert encoded(fitted(Vector(), cells), [[1e6, -1e6]])[0].tolist() == [5, -5]
    assert encoded(fitted(Vector(clip=2), cells), [[1e6, 5]])[0].tolist() == [2, 0]
    assert encoded(fitted(Vector(standardise=False), cells), [[1e6, -3]])[0].tolist() == [1e6, -3]
    with pytest.raises(ValueError, match="clip"):
        Vector(clip=0)


def test_a_width_other_than_in_training_is_named():
    made = fitted(Vector(), [[1, 2, 3], [4, 5, 6], [1, 2]])
    assert made.facts() == {"size": 3}
    good, bad = encoded(made, [[1, 2, 3], [1, 2]])
    assert good.shape == (3,)
    assert "2 features, expected 3" in str(bad)


def test_nothing_to_learn_from_is_an_error_with_the_column_and_reason():
    with pytest.raises(ValueError, match=r"'features'.*expected numbers"):
        fitted(Vector(), ["x", "y"])


def test_sequences_keep_their_length_up_to_the_limit():
    made = fitted(Sequence(max_tokens=3), [np.ones((2, 4)), np.zeros((5, 4))])
    fields = made.collate(encoded(made, [np.ones((2, 4)), np.zeros((5, 4))]))
    assert fields["x"].shape == (2, 3, 4)
    assert fields["lengths"].tolist() == [2, 3]
    assert (fields["x"][0, 2] == 0).all()
    assert made.blank().shape == (1, 4)


def test_every_time_step_counts_alike_in_the_scale():
    made = fitted(Sequence(), [[[0.0]], [[1.0], [1.0], [2.0]]])
    assert made.centre.tolist() == [1.0]
    assert made.spread.tolist() == pytest.approx([np.std([0, 1, 1, 2])])


def test_real_features(real_data):
    features = np.load(real_data / "cmu_mosi" / "features.npz")
    table = next(features[key] for key in features.files if features[key].ndim == 2)
    made = fitted(Vector(), list(table))
    x = made.collate(encoded(made, list(table)))["x"]
    assert x.shape == table.shape
    assert np.isfinite(x).all()
    assert np.abs(x).max() <= 5


PRINTED = ["[1.  2.5 -3.]", "[1 2.5 -3]", "[ 1.   2.5\n -3. ]", "array([1. , 2.5, -3.])", "tensor([1, 2.5, -3])"]


@pytest.mark.parametrize("cell", PRINTED)
def test_vectors_as_numpy_prints_them(cell):
    assert as_array(cell, 1).tolist() == [1, 2.5, -3]
    inner = cell.removeprefix("array(").removeprefix("tensor(").removesuffix(")")
    assert as_array(f"[{inner}\n {inner}]", 2).tolist() == [[1, 2.5, -3]] * 2


def test_what_numpy_left_out_is_said_and_so_is_a_feature_that_is_nan():
    assert "tolist()" in str(as_array("[0.1 0.2 ... 0.9]", 1))
    assert "feature 2 first: fill or drop it" in str(as_array("[0.1 nan 0.9]", 1))
    with pytest.raises(ValueError, match=r"'features'.*feature 2 first: fill or drop it"):
        fitted(Vector(), [[1, float("nan")], [2, float("nan")]])
