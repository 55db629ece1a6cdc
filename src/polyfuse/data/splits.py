"""Split rows into train, val and test: by a column, in time, or at random (stratified, grouped, seeded).

Rows of one group (speaker, patient, source) never stand on two sides; classes keep their shares on every side, and each
has a training row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from polyfuse.data.modalities import infer_output, missing_mask
from polyfuse.data.rules import as_numbers, cell_key
from polyfuse.data.tables import TableError, did_you_mean, parse_split_name
from polyfuse.data.timeline import Timeline, make_timeline, split_by_shares
from polyfuse.errors import format_count

SIDES = ("train", "val", "test")
BINS = 10


@dataclass(frozen=True)
class Splits:
    """Row numbers of each side, ascending, and notes on how they were found."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _SplitKeys:
    """Strata and groups of rows, by which a split is made.

    Args:
        strata_N: stratum of each row, 0 to C - 1.
        groups_N: group of each row, 0 to G - 1; None when rows stand alone.
        classes: strata are classes, each of which needs a training row.
    """

    strata_N: np.ndarray
    groups_N: np.ndarray | None
    classes: bool

    def of(self, rows: np.ndarray) -> _SplitKeys:
        """The same for some rows."""
        groups = None if self.groups_N is None else np.unique(self.groups_N[rows], return_inverse=True)[1]
        return _SplitKeys(np.unique(self.strata_N[rows], return_inverse=True)[1], groups, self.classes)


def split_rows(
    frame: pd.DataFrame,
    *,
    column: str | None = None,
    group: str | None = None,
    stratify: str | None = None,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    order: str | None = None,
    sides: np.ndarray | None = None,
    origin: Callable[[int], str] = "row {}".format,
) -> Splits:
    """Split rows into train, val and test.

    Args:
        column: holds train, val and test for each row, or words like them. Without a val row, the share
            ``fractions[1]`` of the training rows validates.
        group: rows with the same value stay together; a row without one stands alone.
        stratify: output column whose classes, or tenths of whose range, every side gets in equal shares.
        fractions: shares of train, val and test where no column is given; val and test may be 0.
        seed: the same seed gives the same split.
        order: column of dates or numbers: the oldest rows train, later ones validate, the latest test. Rows of one
            instant or group stay together, rows without a time are on no side.
        sides: 0, 1 or 2 for each row to train, validate or test, or -1 for none, instead of ``column``; as there, a
            share of the training rows validates where no row does.
        origin: how messages name a row, as ``Table.origin``.

    Raises:
        TableError: no such column, values that name no split, no training row, or impossible fractions.
    """
    _check(frame, fractions, column, group, stratify, order)
    codes, classes = make_strata(frame[stratify]) if stratify is not None else (np.zeros(len(frame), np.int64), False)
    keys = _SplitKeys(codes, group_numbers(frame[group]) if group is not None else None, classes)
    line = None if order is None else make_timeline(frame[order], keys.groups_N, origin)
    rng = np.random.default_rng(seed)
    if sides is not None or column is not None:
        notes = [] if column is None or sides is not None else [f"rows are split by column {column!r}"]
        sides = _parse_sides(frame[column]) if sides is None else sides.copy()
        sides, said = _add_validation(sides, keys, fractions[1], rng, line)
        notes = [", ".join([*notes, *said]).removeprefix("and ")] if notes or said else []
        notes += _note_split_groups(sides, keys, group) if group is not None else []
        notes += _note_time_overlap(sides, line, order) if line is not None and order is not None else []
    elif line is not None and order is not None:
        sides, notes = _split_by_time(frame[order], line, fractions, group)
    else:
        sides = _assign_sides(keys, np.asarray(fractions, dtype=float), rng)
        by = [f"stratified by {stratify!r}"] if codes.any() else []
        by += [f"no {group!r} on two sides"] if group is not None else []
        notes = [", ".join(["rows are split at random", *by, f"seed {seed}"])]
    if line is not None and (lost := int(np.isnan(line.time_N).sum())):
        sides[np.isnan(line.time_N)] = -1
        late = format_count(lost, f"row has no {order!r} and is", f"rows have no {order!r} and are")
        notes.append(f"{late} left out, as their place in time is unknown")
    train, val, test = (np.flatnonzero(sides == side) for side in range(3))
    notes.append(f"{len(train):,} rows train, {len(val):,} validate, {len(test):,} test")
    if not len(test):
        notes.append("no row is left for a test: figures of the model come from validation rows, or from none")
    return Splits(train, val, test, notes)


def note_unusable_splits(frame: pd.DataFrame) -> list[str]:
    """Note each column that holds words of a split but no training row, and so is not taken as the split."""
    notes = []
    for name in frame:
        present = frame[name][~missing_mask(frame[name])]
        if present.dtype.kind in "biufcmM" or not all(map(parse_split_name, present.head(9))):
            continue
        if len(words := {parse_split_name(cell) for cell in present}) > 1 and not words & {None, "train"}:
            notes.append(f"column {name!r} holds words of a split, but no row is train: it is not taken as the split")
    return notes


def _check(frame: pd.DataFrame, fractions: Sequence[float], *columns: str | None) -> None:
    for name in columns:
        if name is not None and name not in frame:
            raise TableError(f"the table has no column {name!r}{did_you_mean(name, frame.columns)}")
    if len(fractions) != 3 or min(fractions) < 0 or fractions[0] <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise TableError(f"fractions {tuple(fractions)}: expected shares of train, val and test that add up to 1")


# --- a given column ---------------------------------------------------------------------------------------------------


def _parse_sides(column: pd.Series) -> np.ndarray:
    """Parse the column that says the side of each row."""
    words = column.map(parse_split_name, na_action="ignore")
    if (unknown := column[words.isna()]).size:
        listed = ", ".join(
            f"{value!r} ({n:,} rows)" for value, n in unknown.astype(object).map(str).value_counts()[:8].items()
        )
        raise TableError(f"split column {column.name!r}: expected train, val and test, found {listed}")
    sides = np.array(words.map(SIDES.index), dtype=np.int64)
    if not (sides == 0).any():
        raise TableError(f"split column {column.name!r} has no training row, only {', '.join(sorted(set(words)))}")
    return sides


def _add_validation(
    sides: np.ndarray, keys: _SplitKeys, share: float, rng: np.random.Generator, line: Timeline | None
) -> tuple[np.ndarray, list[str]]:
    """Move a share of train to val where no row validates: the latest rows, where time counts."""
    train = np.flatnonzero(sides == 0)
    if (sides == 1).any() or share == 0:
        return sides, []
    if line is None:
        sides[train] = _assign_sides(keys.of(train), np.array([1 - share, share, 0]), rng)
        return sides, [f"and {share:.0%} of its train rows validate"]
    if len(np.unique(line.block_N[train][line.block_N[train] >= 0])) < 2:
        return sides, ["none of which validate, as all train rows are of one stretch of time"]
    late = split_by_shares(line.block_N[train], [1 - share, share])
    sides[train[late == 1]] = 1
    return sides, [f"and the latest {(late == 1).mean():.0%} of its train rows validate"]


def _note_time_overlap(sides: np.ndarray, line: Timeline, order: str) -> list[str]:
    """A note where a given split trains on rows that are later than some that test."""
    test = line.time_N[(sides == 2) & ~np.isnan(line.time_N)]
    later = int((line.time_N[sides == 0] >= test.min()).sum()) if len(test) else 0
    said = f"{later:,} training rows are not older by {order!r} than the oldest test row of the given split"
    return [said] if later else []


def _split_by_time(
    column: pd.Series, line: Timeline, fractions: Sequence[float], group: str | None
) -> tuple[np.ndarray, list[str]]:
    """The side of each row by its time."""
    wanted = [side for side in range(3) if fractions[side] > 0]
    blocks = len(np.unique(line.block_N[line.block_N >= 0]))
    if blocks < len(wanted) and 1 in wanted and 2 in wanted:
        wanted.remove(1)  # a test is worth more than validation
    if blocks < len(wanted):
        instants = len(np.unique(line.time_N[~np.isnan(line.time_N)]))
        why = f"all rows have the same {column.name!r}"
        if instants > 1:
            why = f"at every {column.name!r} some {group!r} goes on, and a group is not parted"
        raise TableError(f"rows cannot be split in time: {why}; name another order column, or leave group out")
    shares = np.array([fractions[side] for side in wanted])
    part_N = split_by_shares(line.block_N, shares / shares.sum())
    sides = np.where(part_N < 0, -1, np.array(wanted)[part_N])
    begins = {1: "validate", 2: "test"}
    said = [f"from {column.iloc[_oldest_row(line, sides == side)]} on they {begins[side]}" for side in wanted if side]
    together = [f"no {group!r} on two sides"] if group is not None else []
    together += [f"{line.ties:,} rows share theirs with others and stay with them"] if line.ties else []
    return sides, [", ".join([f"rows are split by {column.name!r}, the oldest train", *said, *together])]


def _oldest_row(line: Timeline, some: np.ndarray) -> int:
    return int(np.nanargmin(np.where(some, line.time_N, np.nan)))


def _note_split_groups(sides: np.ndarray, keys: _SplitKeys, group: str) -> list[str]:
    assert keys.groups_N is not None
    pairs = np.unique(np.stack([keys.groups_N, sides]), axis=1)
    times = np.bincount(pairs[0])
    if not (times > 1).any():
        return []
    return [
        f"{(times > 1).sum():,} of {len(times):,} groups of {group!r} stand on more than one side of the given split"
    ]


# --- what a made split goes by ----------------------------------------------------------------------------------------


def make_strata(target: pd.Series) -> tuple[np.ndarray, bool]:
    """Stratum of each row, and whether strata are classes. Rows without a target are a stratum of their own."""
    gone = missing_mask(target)
    try:
        head = infer_output(target)[0]
    except TableError:  # nothing there, or nothing that has classes or a range
        head = ""
    found = np.zeros(len(target), dtype=np.int64)
    if head in ("category", "labels"):
        names = target[~gone].map(_first_label if head == "labels" else str)
        found[~gone] = 1 + np.unique(names.to_numpy(dtype=str), return_inverse=True)[1]
    elif head == "number":
        values = as_numbers(target[~gone])
        values = np.where(np.isinf(values), np.nan, values)
        bins = max(1, min(BINS, len(values) // BINS))
        found[~gone] = 1 + np.searchsorted(np.nanquantile(values, np.arange(1, bins) / bins), values, side="right")
    return np.unique(found, return_inverse=True)[1], head in ("category", "labels")


def _first_label(cell: Any) -> str:
    if isinstance(cell, (list, tuple, np.ndarray)):
        return str(cell[0])
    return re.split("[|;]", cell)[0].strip() if isinstance(cell, str) else str(cell)


def group_numbers(column: pd.Series) -> np.ndarray:
    """Number of each row's group; a row without one is a group of its own."""
    gone = missing_mask(column)
    groups = np.empty(len(column), dtype=np.int64)
    groups[~gone] = np.unique(column[~gone].map(cell_key).map(str).to_numpy(dtype=str), return_inverse=True)[1]
    groups[gone] = np.arange(gone.sum()) + (groups[~gone].max(initial=-1) + 1)
    return groups


# --- making a split: the side of each row, 0, 1 or 2 ------------------------------------------------------------------


def _assign_sides(keys: _SplitKeys, shares_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if keys.groups_N is None:
        return _assign_rows(keys, shares_S, rng)
    return _assign_groups(keys, shares_S, rng)[keys.groups_N]


def _assign_rows(keys: _SplitKeys, shares_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    counts_CS = _apportion(np.bincount(keys.strata_N), shares_S, keys.classes)
    sides_N = np.empty(len(keys.strata_N), dtype=np.int64)
    for stratum, counts_S in enumerate(counts_CS):
        rows = rng.permutation(np.flatnonzero(keys.strata_N == stratum))
        sides_N[rows] = np.repeat(np.arange(3), counts_S)
    return sides_N


def _apportion(sizes_C: np.ndarray, shares_S: np.ndarray, classes: bool) -> np.ndarray:
    """Rows of each stratum per side, within one of their share; what rounding leaves goes where rows are short."""
    counts_CS = np.floor(sizes_C[:, None] * shares_S + 1e-9).astype(np.int64)
    short_S = np.where(shares_S > 0, sizes_C.sum() * shares_S - counts_CS.sum(0), -np.inf)
    for counts_S, left in zip(counts_CS, sizes_C - counts_CS.sum(1), strict=True):
        wants_S = short_S.copy()
        if classes and counts_S[0] == 0:
            wants_S[0] = np.inf
        for side in np.argsort(-wants_S, kind="stable")[:left]:
            counts_S[side] += 1
            short_S[side] -= 1
    return counts_CS


def _assign_groups(keys: _SplitKeys, shares_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Largest groups first, each to the side whose strata it fills best; then no side or class is left without."""
    assert keys.groups_N is not None
    sizes_GC = np.zeros((keys.groups_N.max() + 1, keys.strata_N.max() + 1))
    np.add.at(sizes_GC, (keys.groups_N, keys.strata_N), 1)
    wanted_SC = shares_S[:, None] * sizes_GC.sum(0)
    have_SC = np.zeros_like(wanted_SC)
    sides_G = np.zeros(len(sizes_GC), dtype=np.int64)
    shuffled = rng.permutation(len(sizes_GC))
    for group in shuffled[np.argsort(-sizes_GC[shuffled].sum(1), kind="stable")]:
        off_SC = ((have_SC + sizes_GC[group] - wanted_SC) ** 2 - (have_SC - wanted_SC) ** 2) / (wanted_SC + 1)
        side = int(np.argmin(np.where(shares_S > 0, off_SC.sum(1), np.inf)))
        sides_G[group] = side
        have_SC[side] += sizes_GC[group]
    _fill_sides(sides_G, sizes_GC, shares_S)
    if keys.classes:
        _give_classes_to_train(sides_G, sizes_GC)
    return sides_G


def _fill_sides(sides_G: np.ndarray, sizes_GC: np.ndarray, shares_S: np.ndarray) -> None:
    """Give a wanted side without rows the smallest group of the side with most groups, while that keeps another."""
    for side in np.flatnonzero(shares_S > 0):
        groups = np.bincount(sides_G, minlength=3)
        if groups[side] == 0 and groups.max() > 1:
            donors = np.flatnonzero(sides_G == groups.argmax())
            sides_G[donors[sizes_GC[donors].sum(1).argmin()]] = side


def _give_classes_to_train(sides_G: np.ndarray, sizes_GC: np.ndarray) -> None:
    """Move the smallest group that holds a class without a training row to train."""
    for stratum in range(sizes_GC.shape[1]):
        holders = np.flatnonzero(sizes_GC[:, stratum])
        if not (sides_G[holders] == 0).any():
            sides_G[holders[sizes_GC[holders].sum(1).argmin()]] = 0
