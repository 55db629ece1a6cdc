"""What the rows of ``defaults.py`` share: measurements that are kept, fits by the command line, parts of the page."""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import common
import pandas as pd

ROWS: dict[str, Callable[[Run], Section]] = {}
ON_REQUEST: set[str] = set()  # rows that run only where they are named
TEST_ROWS = 2000


def row(make: Callable[[Run], Section]) -> Callable[[Run], Section]:
    """Register a row by its function's name; what it measures is kept, and it is called once more for the page."""
    ROWS[make.__name__] = make
    return make


@dataclass
class Section:
    """A part of the page: a title, what was done, and a table of it.

    Args:
        lines: of cells; those of which nothing is measured are left out.
    """

    title: str
    text: str
    head: Sequence[str]
    lines: list[Sequence[str]] = field(default_factory=list)
    below: str = ""

    def markdown(self) -> str:
        table = ["| " + " | ".join(self.head) + " |", "|" + "---|" * len(self.head)]
        table += ["| " + " | ".join(line) + " |" for line in self.lines]
        return "\n".join([f"## {self.title}", "", self.text, "", *table, *(["", self.below] if self.below else [])])


@dataclass
class Run:
    """How the rows are run.

    Args:
        work: folder of tables and models.
        seeds: how many.
        cap: the most training rows of a table.
        quick: tiny tables and one epoch: whether it runs at all, and no figure that means anything.
        failed: keys of measurements that could not be made; the others of their row go on.
    """

    results: common.Results
    work: Path
    seeds: int = 3
    cap: int | None = None
    quick: bool = False
    failed: list[str] = field(default_factory=list)

    @property
    def test_rows(self) -> int:
        return 30 if self.quick else TEST_ROWS

    def train_rows(self, most: int | None = None) -> int | None:
        """The most training rows, of what a row asks for and what the command line allows."""
        limits = [limit for limit in (most, self.cap, 60 if self.quick else None) if limit]
        return min(limits) if limits else None

    def kept(self, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """A measurement by its key, made where it is new, with the machine and the day.

        None where it is not there and none may be made, or where making it failed, which is said and noted.
        """
        try:
            return self.results.get(key if self.cap is None else f"{key}@{self.cap}", lambda: _measured(make))
        except common.NotMeasured:
            return None
        except RuntimeError as error:  # a command, or torch; what is wrong here is raised
            print(f"{key} failed: {error}", file=sys.stderr, flush=True)
            self.failed.append(key)
            return None

    def each(self, key: str, make: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
        """That measurement for every seed, as far as there."""
        found = [self.kept(f"{key}/{seed}", lambda seed=seed: make(seed)) for seed in range(self.seeds)]
        return [one for one in found if one is not None]

    def table(self, name: str, make: Callable[[], pd.DataFrame]) -> Path:
        """The Parquet file of a table, made once."""
        path = self.work / f"{name.replace('/', '-')}{'' if self.cap is None else f'@{self.cap}'}.parquet"
        if not path.exists():
            half = path.with_suffix(".part")
            make().to_parquet(half, index=False)
            half.replace(path)
        return path

    def fit(self, table: Path, output: str, *options: str, seed: int) -> dict[str, Any]:
        """Plain metrics of a fit judged on test rows, with the wall seconds of the whole command.

        The model lies in ``self.model`` until the next fit.
        """
        fast = ["--set", "training.epochs=1"] if self.quick else []
        arguments = ["fit", str(table), "--output", output, "--split", "split", *options, *fast]
        found = common.polyfuse(*arguments, "--seed", str(seed), "--to", str(self.model))
        (metrics,) = found["outputs"].values()
        plain = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
        return {**plain, "seconds": found["seconds"]}

    @property
    def model(self) -> Path:
        return self.work / "model"

    def predicted(self, table: Path, column: str) -> list[Any]:
        """What the last model says of the test rows of a table, in their order."""
        path = self.work / "predicted.parquet"
        common.polyfuse("predict", str(self.model), str(table), "--where", "split == 'test'", "--to", str(path))
        return pd.read_parquet(path)[column].tolist()


def _measured(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    started = time.monotonic()
    made = make()
    where, _, _ = common.machine().rpartition(", ")  # without the day
    return {"seconds": time.monotonic() - started, **made, "machine": where, "date": date.today().isoformat()}


def encoder(name: str, columns: Iterable[str], modality: str, parts: Any) -> list[str]:
    """Options of an input of some columns that is read by these encoders: a name, or a list of names and mappings."""
    return ["--input", f"{name}@{','.join(columns)}={modality}", "--set", f"inputs.{name}.encoder={json.dumps(parts)}"]


def values(found: Iterable[dict[str, Any] | None], key: str = "accuracy") -> list[float]:
    return [one[key] for one in found if one is not None]


def format_measurement(found: Iterable[dict[str, Any] | None], key: str = "accuracy", *, times: bool = False) -> str:
    """Mean and spread of what was measured, with the seconds of the slowest; a dash for nothing."""
    found = [one for one in found if one is not None]
    if not found:
        return "–"
    seconds = f", {max(values(found, 'seconds')):.0f} s" if times else ""
    return common.spread(values(found, key)) + seconds


def error_of_mean(found: Sequence[float]) -> float:
    """Standard error of a mean over seeds; 0 for one alone."""
    return statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else 0.0
