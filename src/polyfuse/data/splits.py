"""Which rows train, which validate and which test: as a column says, or made: stratified, grouped and seeded.

Rows of one group (speaker, patient, source) never stand on two sides; classes keep their shares on every side, and each
has a training row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from polyfuse.data.modalities import infer_output, missing_mask
from polyfuse.data.rules import as_numbers, key
from polyfuse.data.tables import TableError, nearest, split_word

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
class _Keys:
    """What a made split goes by.

    Args:
        strata_N: stratum of each row, 0 to C - 1.
        groups_N: group of each row, 0 to G - 1; None when rows stand alone.
        classes: strata are classes, each of which needs a training row.
    """

    strata_N: np.ndarray
    groups_N: np.ndarray | None
    classes: bool

    def of(self, rows: np.ndarray) -> _Keys:
        """The same for some rows."""
        groups = None if self.groups_N is None else np.unique(self.groups_N[rows], return_inverse=True)[1]
        return _Keys(np.unique(self.strata_N[rows], return_inverse=True)[1], groups, self.classes)


def split_rows(
    frame: pd.DataFrame,
    *,
    column: str | None = None,
    group: str | None = None,
    stratify: str | None = None,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Splits:
    """Say which rows train, validate and test.

    Args:
        column: holds train, val and test for each row, or words like them. Without a val row, the share
            ``fractions[1]`` of the training rows validates.
        group: rows with the same value stay together; a row without one stands alone.
        stratify: output column whose classes, or tenths of whose range, every side gets in equal shares.
        fractions: shares of train, val and test where no column is given; val and test may be 0.
        seed: the same seed gives the same split.

    Raises:
        TableError: no such column, values that name no split, no training row, or impossible fractions.
    """
    _check(frame, fractions, column, group, stratify)
    strata, classes = _strata(frame[stratify]) if stratify is not None else (np.zeros(len(frame), np.int64), False)
    keys = _Keys(strata, _groups(frame[group]) if group is not None else None, classes)
    rng = np.random.default_rng(seed)
    if column is not None:
        sides, notes = _given(frame[column], keys, fractions[1], rng)
        notes += _straddling(sides, keys, group) if group is not None else []
    else:
        sides = _assign(keys, np.asarray(fractions, dtype=float), rng)
        by = [f"stratified by {stratify!r}"] if strata.any() else []
        by += [f"no {group!r} on two sides"] if group is not None else []
        notes = [", ".join(["rows are split at random", *by, f"seed {seed}"])]
    train, val, test = (np.flatnonzero(sides == side) for side in range(3))
    notes.append(f"{len(train):,} rows train, {len(val):,} validate, {len(test):,} test")
    if not len(test):
        notes.append("no row is left for a test: figures of the model come from validation rows, or from none")
    return Splits(train, val, test, notes)


def no_splits(frame: pd.DataFrame) -> list[str]:
    """A note on each column that holds words of a split and cannot be one, since no row trains."""
    notes = []
    for name in frame:
        present = frame[name][~missing_mask(frame[name])]
        if present.dtype.kind in "biufcmM" or not all(map(split_word, present.head(9))):
            continue
        if len(words := {split_word(cell) for cell in present}) > 1 and not words & {None, "train"}:
            notes.append(f"column {name!r} holds words of a split, but no row is train: it is not taken as the split")
    return notes


def _check(frame: pd.DataFrame, fractions: Sequence[float], *columns: str | None) -> None:
    for name in columns:
        if name is not None and name not in frame:
            raise TableError(f"the table has no column {name!r}{nearest(name, frame.columns)}")
    if len(fractions) != 3 or min(fractions) < 0 or fractions[0] <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise TableError(f"fractions {tuple(fractions)}: expected shares of train, val and test that add up to 1")


# --- a given column ---------------------------------------------------------------------------------------------------


def _given(column: pd.Series, keys: _Keys, share: float, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """The side of each row as a column says it, with a share of train for validation when it names none."""
    words = column.map(split_word, na_action="ignore")
    if (unknown := column[words.isna()]).size:
        listed = ", ".join(
            f"{value!r} ({n:,} rows)" for value, n in unknown.astype(object).map(str).value_counts()[:8].items()
        )
        raise TableError(f"split column {column.name!r}: expected train, val and test, found {listed}")
    sides = np.array(words.map(SIDES.index), dtype=np.int64)
    train = np.flatnonzero(sides == 0)
    if not len(train):
        raise TableError(f"split column {column.name!r} has no training row, only {', '.join(sorted(set(words)))}")
    if (sides == 1).any() or share == 0:
        return sides, [f"rows are split by column {column.name!r}"]
    sides[train] = _assign(keys.of(train), np.array([1 - share, share, 0]), rng)
    return sides, [f"rows are split by column {column.name!r}, and {share:.0%} of its train rows validate"]


def _straddling(sides: np.ndarray, keys: _Keys, group: str) -> list[str]:
    assert keys.groups_N is not None
    pairs = np.unique(np.stack([keys.groups_N, sides]), axis=1)
    times = np.bincount(pairs[0])
    if not (times > 1).any():
        return []
    return [
        f"{(times > 1).sum():,} of {len(times):,} groups of {group!r} stand on more than one side of the given split"
    ]


# --- what a made split goes by ----------------------------------------------------------------------------------------


def _strata(target: pd.Series) -> tuple[np.ndarray, bool]:
    """Stratum of each row, and whether strata are classes. Rows without a target are a stratum of their own."""
    gone = missing_mask(target)
    try:
        head = infer_output(target)[0]
    except TableError:  # nothing there, or nothing that has classes or a range
        head = ""
    strata = np.zeros(len(target), dtype=np.int64)
    if head in ("category", "labels"):
        names = target[~gone].map(_first_label if head == "labels" else str)
        strata[~gone] = 1 + np.unique(names.to_numpy(dtype=str), return_inverse=True)[1]
    elif head == "number":
        values = as_numbers(target[~gone])
        values = np.where(np.isinf(values), np.nan, values)
        bins = max(1, min(BINS, len(values) // BINS))
        strata[~gone] = 1 + np.searchsorted(np.nanquantile(values, np.arange(1, bins) / bins), values, side="right")
    return np.unique(strata, return_inverse=True)[1], head in ("category", "labels")


def _first_label(cell: Any) -> str:
    if isinstance(cell, (list, tuple, np.ndarray)):
        return str(cell[0])
    return re.split("[|;]", cell)[0].strip() if isinstance(cell, str) else str(cell)


def _groups(column: pd.Series) -> np.ndarray:
    gone = missing_mask(column)
    groups = np.empty(len(column), dtype=np.int64)
    groups[~gone] = np.unique(column[~gone].map(key).map(str).to_numpy(dtype=str), return_inverse=True)[1]
    groups[gone] = np.arange(gone.sum()) + (groups[~gone].max(initial=-1) + 1)
    return groups


# --- making a split: the side of each row, 0, 1 or 2 ------------------------------------------------------------------


def _assign(keys: _Keys, shares_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if keys.groups_N is None:
        return _assign_rows(keys, shares_S, rng)
    return _assign_groups(keys, shares_S, rng)[keys.groups_N]


def _assign_rows(keys: _Keys, shares_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    counts_CS = _apportioned(np.bincount(keys.strata_N), shares_S, keys.classes)
    sides_N = np.empty(len(keys.strata_N), dtype=np.int64)
    for stratum, counts_S in enumerate(counts_CS):
        rows = rng.permutation(np.flatnonzero(keys.strata_N == stratum))
        sides_N[rows] = np.repeat(np.arange(3), counts_S)
    return sides_N


def _apportioned(sizes_C: np.ndarray, shares_S: np.ndarray, classes: bool) -> np.ndarray:
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


def _assign_groups(keys: _Keys, shares_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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
        _teach_classes(sides_G, sizes_GC)
    return sides_G


def _fill_sides(sides_G: np.ndarray, sizes_GC: np.ndarray, shares_S: np.ndarray) -> None:
    """Give a wanted side without rows the smallest group of the side with most groups, while that keeps another."""
    for side in np.flatnonzero(shares_S > 0):
        groups = np.bincount(sides_G, minlength=3)
        if groups[side] == 0 and groups.max() > 1:
            donors = np.flatnonzero(sides_G == groups.argmax())
            sides_G[donors[sizes_GC[donors].sum(1).argmin()]] = side


def _teach_classes(sides_G: np.ndarray, sizes_GC: np.ndarray) -> None:
    """Move the smallest group that holds a class without a training row to train."""
    for stratum in range(sizes_GC.shape[1]):
        holders = np.flatnonzero(sizes_GC[:, stratum])
        if not (sides_G[holders] == 0).any():
            sides_G[holders[sizes_GC[holders].sum(1).argmin()]] = 0
