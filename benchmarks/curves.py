"""Rows of ``defaults.py``: how accuracy grows with rows, for the default, from scratch and a classical learner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import classical
import defaults_tables as tables
import numpy as np
import pandas as pd
from defaults_run import Run, Section, error_of_mean, format_measurement, row, values

SIZES = (50, 200, 1000, None)  # training rows; None for all
PRESETS: dict[str, list[str]] = {"default": [], "scratch": ["--preset", "scratch"]}
LEARNERS = (*PRESETS, "classical")


@dataclass(frozen=True)
class Curve:
    """A table of growing size.

    Args:
        output: column, with its head where the head cannot be guessed from few rows.
        options: of the fit.
        metric: higher is better.
        simple: what the classical learner reaches on a table.
    """

    make: Callable[[], pd.DataFrame]
    output: str
    options: tuple[str, ...]
    metric: str
    simple: Callable[[pd.DataFrame], float]
    said: str

    @property
    def target(self) -> str:
        return self.output.partition("=")[0]


def _pictures(target: str) -> Callable[[pd.DataFrame], float]:
    return lambda frame: classical.svm(classical.pictures(frame.image), frame, target)


CURVES = {
    "mnist": Curve(
        tables.mnist, "digit=category", ("--input", "image"), "accuracy", _pictures("digit"), "gradients + SVM"
    ),
    "fsdd": Curve(
        tables.fsdd, "digit=category", ("--input", "audio"), "accuracy",
        lambda frame: classical.svm(classical.sounds(frame.audio), frame, "digit"), "cepstra + SVM",
    ),
    "emoji, picture": Curve(
        tables.emoji_pictures, "group=category", ("--input", "image"), "accuracy", _pictures("group"),
        "gradients and colours + SVM",
    ),
    "emoji, English name": Curve(
        tables.emoji_en, "group=category", ("--input", "text"), "accuracy",
        lambda frame: classical.words(frame, "group"), "tf-idf + logistic regression",
    ),
    "houses": Curve(
        tables.houses, "price=number", (), "r2_log",
        lambda frame: classical.ridge_of_log(frame, "price", tables.HOUSE_NUMBERS, ["zipcode"]), "ridge on the columns",
    ),
}  # fmt: skip


@row
def curves(run: Run) -> Section:
    section = Section(
        "Learning curves",
        "Training rows drawn anew per seed, their classes in equal shares, from training and validation rows together; "
        "always the same test rows, at most 2,000. Accuracy, for houses R2 of the log of the price. Classical: "
        + "; ".join(f"{name}: {curve.said}" for name, curve in CURVES.items())
        + ".",
        ["table", "rows", "default", "scratch", "classical"],
    )
    places = []
    for name, curve in CURVES.items():
        for size in _sizes(run):
            made = {learner: _measure(run, name, size, learner) for learner in LEARNERS}
            if any(made.values()):
                cells = [
                    format_measurement(found, curve.metric, times=learner in PRESETS) for learner, found in made.items()
                ]
                section.lines.append([name, "all" if size is None else f"{size:,}", *cells])
                places.append((section.lines[-1][:2], {k: values(found, curve.metric) for k, found in made.items()}))
    section.below = verdict(places)
    return section


def _sizes(run: Run) -> tuple[int | None, ...]:
    if run.quick:
        return (30, 60)
    return tuple(size for size in SIZES if run.cap is None or (size or run.cap) <= run.cap)


def _measure(run: Run, name: str, size: int | None, learner: str) -> list[dict[str, Any]]:
    curve = CURVES[name]
    if size is not None and not _large_enough(name, size):
        return []

    def make(seed: int) -> dict[str, Any]:
        table = _part(run, name, size, seed)
        if learner == "classical":
            return {curve.metric: curve.simple(pd.read_parquet(table))}
        return run.fit(table, curve.output, *curve.options, *PRESETS[learner], seed=seed)

    return run.each(f"curves/{name}/{size or 'all'}/{learner}", make)


def _large_enough(name: str, size: int) -> bool:
    """Whether a table has more rows than that; houses have 428 beside test rows."""
    return name != "houses" or size < 428


def _part(run: Run, name: str, size: int | None, seed: int) -> Path:
    curve = CURVES[name]
    by = None if curve.metric == "r2_log" else curve.target
    rows = run.train_rows(size)
    called = f"curve-{name.replace(', ', '-').replace(' ', '-')}-{size or 'all'}-{seed}"
    return run.table(called, lambda: tables.cut(curve.make(), rows, run.test_rows, by, seed))


def verdict(places: list[tuple[Any, dict[str, list[float]]]]) -> str:
    """Where the default is the worst of all three, and where it is by more than two standard errors."""
    whole = [(where, made) for where, made in places if all(made.values())]
    behind = [(where, *_behind(made)) for where, made in whole]
    worst = [one for one in behind if one[1] > 0]
    if not whole:
        return ""
    if not worst:
        return f"The default is the worst of the three on none of the {len(whole)} places."
    listed = "; ".join(
        f"{name} at {rows} rows by {gap:.3f}" + (" (more than two standard errors)" if gap > 2 * error else "")
        for (name, rows), gap, error in worst
    )
    return f"The default is the worst of the three on {len(worst)} of {len(whole)} places: {listed}."


def _behind(made: dict[str, list[float]]) -> tuple[float, float]:
    """How far the default lies below the lower of the others, and the standard error of that, paired over seeds."""
    other = min((name for name in made if name != "default"), key=lambda name: np.mean(made[name]))
    seeds = min(len(made["default"]), len(made[other]))
    apart = [second - first for first, second in zip(made["default"][:seeds], made[other][:seeds], strict=True)]
    return float(np.mean(apart)), error_of_mean(apart)
