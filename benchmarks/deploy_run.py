"""What the rows of ``deploy.py`` share: their register, and the models that are measured, each trained once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av_digits
import defaults_tables as tables
import pandas as pd
from defaults_run import Run, Section

import polyfuse as pf

ROWS: dict[str, Callable[[Run], Section]] = {}
QUICK = ["training.epochs=1"]


def row(make: Callable[[Run], Section]) -> Callable[[Run], Section]:
    """Register a row by its function's name; what it measures is kept, and it is called once more for the page."""
    ROWS[make.__name__] = make
    return make


@dataclass(frozen=True)
class Subject:
    """A model that is made small, exported and served.

    Args:
        table: builds its table, with a column ``split``.
        output: as ``fit`` takes it.
        inputs: as ``fit`` takes them; all columns by default.
        settings: fields of the recipe.
    """

    table: Callable[[], pd.DataFrame]
    output: str
    inputs: Sequence[str] | None = None
    settings: Sequence[str] = ()

    @property
    def column(self) -> str:
        """Name of the column that is answered."""
        return self.output.partition("=")[0]


def digits() -> pd.DataFrame:
    """AV digits: a spoilt picture and a spoilt sound of the same digit per row."""
    return av_digits.build().reset_index(drop=True)


SUBJECTS = {
    "digits": Subject(digits, "digit=category", ["image=image", "audio=audio"], ["preset=plain", "training.epochs=10"]),
    "houses": Subject(tables.houses, "price=number"),
    "houses, from scratch": Subject(tables.houses, "price=number", None, ["preset=plain"]),
}


def tabled(run: Run, name: str) -> pd.DataFrame:
    """The table of a subject, of few rows where only running is tried."""
    frame = pd.read_parquet(run.table(name.partition(",")[0], SUBJECTS[name].table))
    if not run.quick:
        return frame
    few = [rows.head(40) for _, rows in frame.groupby("split", sort=False)]
    return pd.concat(few).reset_index(drop=True)


def trained(run: Run, name: str, seed: int) -> pf.Model:
    """A subject's model, trained where it does not lie in the work folder yet."""
    subject, folder = SUBJECTS[name], run.work / f"{name.replace(', ', '-')}-{seed}"
    if not folder.exists():
        model = pf.fit(
            tabled(run, name),
            outputs=[subject.output],
            inputs=subject.inputs,
            settings=[*subject.settings, *(QUICK if run.quick else ())],
            split="split",
            seed=seed,
            quiet=True,
            device="cpu",
        )
        model.save(folder)
    return pf.load(folder, device="cpu")


def written(run: Run, name: str) -> Path:
    """A subject's table as a file whose media are files, as a service is asked of them: the CSV file."""
    folder = run.work / f"{name}-files"
    path = folder / "table.csv"
    if path.exists():
        return path
    folder.mkdir(exist_ok=True)
    frame = tabled(run, name)
    frame = frame[frame.split == "test"].head(256).reset_index(drop=True)
    for column, ending in (("image", "png"), ("audio", "wav")):
        if column in frame:
            for at, cell in enumerate(frame[column]):
                (folder / f"{column}{at}.{ending}").write_bytes(cell)
            frame[column] = [f"{column}{at}.{ending}" for at in range(len(frame))]
    frame.to_csv(path, index=False)
    return path
