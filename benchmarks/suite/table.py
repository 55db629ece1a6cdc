"""A table of the suite: how it is made, its output and inputs, and its fixed split, seeded by the table's name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.suite import sources

KINDS = ("columns", "text", "sound", "picture", "several")
MOST_TEST = 3000
MOST_SPARE = 600
TABLES: dict[str, Table] = {}


@dataclass(frozen=True)
class Table:
    """What is known of a table before it is made.

    Args:
        output: the column to learn.
        task: ``regression`` or ``classification``.
        media: modality -> its columns; all other columns are numbers and categories.
        group: column whose values stay on one side of a split.
        train_rows, test_rows: the most rows that each side keeps.
        family: tables cut from one source stand in one half.
    """

    name: str
    kind: str
    output: str
    task: str
    make: Callable[[], pd.DataFrame] = field(repr=False)
    media: dict[str, list[str]] = field(default_factory=dict)
    group: str | None = None
    train_rows: int | None = None
    test_rows: int = MOST_TEST
    family: str = ""

    def inputs(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        """Modality -> its columns, ``columns`` among them."""
        known = {name for names in self.media.values() for name in names} | {self.output, self.group, "split"}
        rest = [str(name) for name in frame if name not in known]
        return {**({"columns": rest} if rest else {}), **self.media}

    def load(self, spare: bool = False) -> pd.DataFrame:
        """The table with its ``split``, made once and kept as Parquet.

        Args:
            spare: also the rows that a cap took from the training rows, which judge choices and train nothing.
        """
        path = sources.CACHE / "tables" / f"{self.name}.parquet"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            half = path.with_suffix(".part")
            self.split(self.make()).to_parquet(half, index=False)
            half.replace(path)
        frame = pd.read_parquet(path)
        return frame if spare else frame[frame.split != "spare"].reset_index(drop=True)

    def split(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows with an output, plain types, and a quarter of them as test rows."""
        frame = _plain_types(frame[frame[self.output].notna()].reset_index(drop=True), self)
        test = held_out(frame, self, seed_of(self.name))
        frame["split"] = np.where(test, "test", "train")
        most = {"train": self.train_rows, "test": self.test_rows}
        (train, rest), (test, _) = (self._few(frame[frame.split == side], most[side]) for side in ("train", "test"))
        spare, _ = self._few(rest.assign(split="spare"), MOST_SPARE)
        return pd.concat([train, test, spare], ignore_index=True)

    def _few(self, frame: pd.DataFrame, most: int | None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """At most so many rows, and the others."""
        if most is None or len(frame) <= most:
            return frame, frame.iloc[:0]
        chosen = _stratified(frame, self, most / len(frame), seed_of(self.name) + 1)
        return frame[chosen], frame[~chosen]


def seed_of(name: str) -> int:
    """A number that never changes for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def table(
    kind: str, output: str, task: str, *, group: str | None = None, train: int | None = None, test: int = MOST_TEST,
    family: str = "", **media: list[str],
) -> Callable[[Callable[[], pd.DataFrame]], Callable[[], pd.DataFrame]]:  # fmt: skip
    """Add a function to ``TABLES`` under its name."""

    def add(make: Callable[[], pd.DataFrame]) -> Callable[[], pd.DataFrame]:
        name = make.__name__
        TABLES[name] = Table(name, kind, output, task, make, dict(media), group, train, test, family or name)
        return make

    return add


def held_out(frame: pd.DataFrame, item: Table, seed: int, share: float = 0.25) -> np.ndarray:
    """Which rows stand aside: whole groups, else a stratified draw."""
    if item.group is None:
        return _stratified(frame, item, share, seed)
    groups = frame[item.group].astype(str)
    names = np.random.default_rng(seed).permutation(sorted(groups.unique()))
    sizes = groups.value_counts()[names].cumsum()
    # whole groups until the share is nearest
    count = 1 + int(np.argmin(np.abs(sizes.to_numpy() - share * len(frame))))
    return groups.isin(names[: min(count, len(names) - 1)]).to_numpy()


def _stratified(frame: pd.DataFrame, item: Table, share: float, seed: int) -> np.ndarray:
    """A draw in which every class, or every tenth of a number's range, has its share of rows."""
    values = frame[item.output]
    strata = values.astype(str) if item.task == "classification" else pd.qcut(values.rank(method="first"), 10).cat.codes
    order = np.random.default_rng(seed).permutation(len(frame))
    order = order[np.argsort(strata.to_numpy()[order], kind="stable")]
    # along rows sorted by stratum, evenly spaced ones: each stratum's share is off by less than one row
    steps = np.floor((np.arange(len(frame)) + 1) * share + 0.5) > np.floor(np.arange(len(frame)) * share + 0.5)
    chosen = np.zeros(len(frame), bool)
    chosen[order[steps]] = True
    return chosen


def inner(item: Table) -> pd.DataFrame:
    """Training rows alone, a quarter of which take the part of the test rows: what choices are made on.

    Where a cap left rows over on the training side, these are judged on as well: with groups, those of the groups that
    stand aside; without, they alone, and all training rows train.
    """
    frame = item.load(spare=True)
    frame = frame[frame.split != "test"].reset_index(drop=True)
    spare = (frame.split == "spare").to_numpy()
    aside = held_out(frame, item, seed_of(item.name) + 2)
    if spare.any() and item.group is None:
        aside = spare
    frame["split"] = np.where(aside, "test", "train")
    return frame[aside | ~spare].reset_index(drop=True)


def _plain_types(frame: pd.DataFrame, item: Table) -> pd.DataFrame:
    """Numbers as floats or integers, everything else as text or bytes; a class is text."""
    media = {name for kind, names in item.media.items() for name in names if kind != "text"}
    for name in frame:
        numeric = pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name])
        text = name in item.media.get("text", []) or (not numeric and name not in media)
        if text or (name == item.output and item.task == "classification"):
            frame[name] = frame[name].astype(object).where(frame[name].isna(), frame[name].astype(str))
    return frame


def folder_of_tables() -> Path:
    return sources.CACHE / "tables"
