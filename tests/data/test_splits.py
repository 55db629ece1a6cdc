"""Splits: every row on one side, groups never apart, classes in proportion, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.splits import Splits, split_rows
from polyfuse.data.tables import TableError, read_table

SHARES = st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.9, 0.1, 0.0), (0.7, 0.0, 0.3), (1.0, 0.0, 0.0)])
labels = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=60)
seeds = st.integers(0, 5)


def sides(splits: Splits, rows: int) -> np.ndarray:
    """Side of each row, checked to be a partition."""
    parts = (splits.train, splits.val, splits.test)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(rows))
    assert all(np.array_equal(part, np.unique(part)) for part in parts)
    out = np.empty(rows, dtype=int)
    for side, part in enumerate(parts):
        out[part] = side
    return out


@given(labels, SHARES, seeds)
def test_the_same_seed_gives_the_same_partition(cells, shares, seed):
    frame = pd.DataFrame({"y": pd.Series(cells, dtype=object), "g": [i // 3 for i in range(len(cells))]})
    for keywords in ({}, {"stratify": "y"}, {"group": "g"}, {"group": "g", "stratify": "y"}):
        first, second = (split_rows(frame, fractions=shares, seed=seed, **keywords) for _ in range(2))
        assert np.array_equal(sides(first, len(cells)), sides(second, len(cells)))


def test_other_seeds_give_other_splits():
    frame = pd.DataFrame({"y": [0, 1] * 100})
    assert not np.array_equal(split_rows(frame, seed=0).train, split_rows(frame, seed=1).train)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), SHARES, seeds)
def test_every_class_has_its_share_within_one_row_and_a_training_row(sizes, shares, seed):
    # every class twice at least, or they are no classes but texts
    names = np.repeat([f"class {i}" for i in range(len(sizes))], np.array(sizes) * 2)
    frame = pd.DataFrame({"y": np.random.default_rng(seed).permutation(names)})
    side = sides(split_rows(frame, stratify="y", fractions=shares, seed=seed), len(frame))
    for name in set(names):
        counts = np.bincount(side[frame["y"] == name], minlength=3)
        assert counts[0] >= 1
        assert (abs(counts - counts.sum() * np.array(shares)) <= 1).all()
        assert not counts[np.array(shares) == 0].any()
    assert (abs(np.bincount(side, minlength=3) - len(frame) * np.array(shares)) <= 1 + len(sizes)).all()


def test_classes_of_one_row_are_trained():
    frame = pd.DataFrame({"y": ["common"] * 30 + [f"rare {i}" for i in range(12)]})
    assert set(split_rows(frame, stratify="y", fractions=(0.4, 0.3, 0.3)).train) >= set(range(30, 42))


def test_rounding_does_not_pile_up_over_many_small_classes():
    frame = pd.DataFrame({"y": [f"c{i % 150}" for i in range(600)]})
    counts = np.bincount(sides(split_rows(frame, stratify="y"), 600))
    assert counts.tolist() == [480, 60, 60]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab")), min_size=1, max_size=60), SHARES, seeds)
def test_no_group_stands_on_two_sides(rows, shares, seed):
    frame = pd.DataFrame(rows, columns=["g", "y"])
    for stratify in (None, "y"):
        side = sides(split_rows(frame, group="g", stratify=stratify, fractions=shares, seed=seed), len(frame))
        assert (pd.Series(side).groupby(frame["g"]).nunique() == 1).all()
        assert (side == 0).any()
        wanted = np.flatnonzero(np.array(shares) > 0)
        if stratify is None and frame["g"].nunique() >= 3:
            assert set(side) == set(wanted)
        assert set(side) <= set(wanted)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), seeds, st.randoms())
def test_a_group_keeps_its_side_when_rows_change_places(groups, seed, random):
    frame = pd.DataFrame({"g": groups})
    order = random.sample(range(len(groups)), len(groups))
    before = sides(split_rows(frame, group="g", seed=seed), len(groups))
    after = sides(split_rows(frame.iloc[order].reset_index(drop=True), group="g", seed=seed), len(groups))
    assert np.array_equal(before[order], after)


def test_grouped_splits_keep_classes_in_proportion():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(100), rng.integers(2, 20, 100))
    frame = pd.DataFrame({"g": group, "y": np.where(group % 4 == 0, "rare", "common")})
    side = sides(split_rows(frame, group="g", stratify="y"), len(frame))
    for part in range(3):
        share = (frame["y"][side == part] == "rare").mean()
        assert share == pytest.approx((frame["y"] == "rare").mean(), abs=0.05)
        assert (side == part).mean() == pytest.approx((0.8, 0.1, 0.1)[part], abs=0.03)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc")), min_size=4, max_size=40), seeds)
def test_a_class_of_few_groups_is_trained_first(rows, seed):
    frame = pd.DataFrame([*rows, *rows], columns=["g", "y"])
    side = sides(split_rows(frame, group="g", stratify="y", seed=seed), len(frame))
    if frame["y"].nunique() * 2 <= len(frame):
        assert set(frame["y"][side == 0]) == set(frame["y"])


def test_rows_without_a_group_stand_alone():
    frame = pd.DataFrame({"g": ["a"] * 10 + [None] * 90})
    side = sides(split_rows(frame, group="g"), 100)
    assert len(set(side[:10])) == 1
    assert set(side[10:]) == {0, 1, 2}


def test_numbers_are_spread_over_their_range():
    frame = pd.DataFrame({"y": np.random.default_rng(0).lognormal(size=300)})
    test = frame["y"].iloc[split_rows(frame, stratify="y").test]
    tenths = pd.qcut(frame["y"], 10, labels=False)[test.index]
    assert set(tenths.value_counts()) == {3}
    assert set(tenths) == set(range(10))


def test_sets_of_labels_are_stratified_by_the_first():
    frame = pd.DataFrame({"y": [["a", "b"], ["b"], ["a"], ["c", "a"]] * 30})
    side = sides(split_rows(frame, stratify="y"), 120)
    first = frame["y"].str[0]
    assert [(first[side == 2] == label).sum() for label in "abc"] == [6, 3, 3]


def test_an_output_without_classes_is_split_at_random():
    frame = pd.DataFrame({"y": [f"a long caption about the thing {i}" for i in range(50)]})
    assert len(split_rows(frame, stratify="y").test) == 5


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_tiny_tables_train(rows):
    splits = split_rows(pd.DataFrame({"y": ["a", "b", "a"][:rows]}), stratify="y")
    assert len(splits.train) >= 1
    assert any("no row is left for a test" in note for note in splits.notes)


@given(
    st.lists(
        st.sampled_from(["train", "Training", " val", "dev", "VALID", "validation", "test", "eval", "testing"]),
        min_size=1,
        max_size=20,
    )
)
def test_a_given_column_decides_whatever_its_words(words):
    kinds = [
        {"t": 0, "v": 1, "d": 1}.get(w.strip().lower()[0], 2) if not w.lower().startswith("test") else 2 for w in words
    ]
    frame = pd.DataFrame({"s": words})
    if 0 not in kinds:
        with pytest.raises(TableError, match="no training row"):
            split_rows(frame, column="s")
        return
    side = sides(split_rows(frame, column="s"), len(words))
    carved = 1 not in kinds
    assert [0 if carved and s == 1 else s for s in side] == kinds


def test_validation_is_carved_from_train_by_group_and_class():
    frame = pd.DataFrame(
        {"s": ["train"] * 300 + ["test"] * 60, "y": ["a", "b", "b"] * 120, "g": [i // 6 for i in range(360)]}
    )
    splits = split_rows(frame, column="s", group="g", stratify="y")
    assert sorted([*splits.train, *splits.val]) == list(range(300))
    assert len(splits.val) == 30
    assert (frame["y"].iloc[splits.val] == "a").sum() == 10
    assert not set(frame["g"].iloc[splits.val]) & set(frame["g"].iloc[splits.train])
    assert any("10% of its train rows validate" in note for note in splits.notes)
    assert not len(split_rows(frame, column="s", fractions=(0.9, 0, 0.1)).val)


def test_a_given_split_that_parts_groups_is_noted():
    frame = pd.DataFrame({"s": ["train", "val", "test", "train"], "g": ["x", "x", "y", "z"]})
    assert any("1 of 3 groups of 'g'" in note for note in split_rows(frame, column="s", group="g").notes)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"column": "s"}, r"'\?' \(1 rows\).*'nan' \(1 rows\)|'nan' \(1 rows\).*'\?' \(1 rows\)"),
        ({"column": "q"}, "no column 'q'"),
        ({"group": "ss"}, "did you mean 's'"),
        ({"fractions": (0.5, 0.5, 0.5)}, "add up to 1"),
        ({"fractions": (0.0, 0.5, 0.5)}, "add up to 1"),
        ({"fractions": (1.2, -0.1, -0.1)}, "add up to 1"),
    ],
)
def test_splits_that_cannot_be(keywords, message):
    with pytest.raises(TableError, match=message):
        split_rows(pd.DataFrame({"s": ["train", "?", None]}), **keywords)


def test_real_speakers_stay_apart(real_data):
    frame = read_table(real_data / "fsdd" / "table.csv").frame
    side = sides(split_rows(frame, group="speaker", stratify="digit"), len(frame))
    assert (pd.Series(side).groupby(frame["speaker"]).nunique() == 1).all()
    assert [frame["digit"][side == part].nunique() for part in range(3)] == [10, 10, 10]
