"""What the rows of ``generation.py`` share: models that write are fitted and judged, in every way of decoding."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from alignment_run import mean_and_deviation
from common import DATA
from defaults_run import Run, Section

import polyfuse as pf
from polyfuse.evaluation import judges
from polyfuse.evaluation.outcome import Outcome

ROWS: dict[str, Callable[[Run], Section]] = {}
QUICK = {"epochs": 1, "batch_size": 16, "steps": "auto", "time": None}
GREEDY: dict[str, Any] = {}
BEAM: dict[str, Any] = {"beams": 3}
FROZEN = {"encoder": "efficientnet_lite", "transfer": "frozen"}
CAPTIONED = ("train-0", "train-1", "val", "test")
MARKS = re.compile(r"[^\w\s']")

Made = dict[str, Any]


def row(make: Callable[[Run], Section]) -> Callable[[Run], Section]:
    """Register a row by its function's name; what it measures is kept, and it is called once more for the page."""
    ROWS[make.__name__] = make
    return make


def photographs(columns: Sequence[str], *, quick: bool = False) -> pd.DataFrame:
    """Flickr8k: ``image``, ``image_id``, lists of captions, ``split``; in lower case without marks, as usual."""
    parts = []
    for name in CAPTIONED:
        part = pd.read_parquet(DATA / f"flickr8k/{name}.parquet", columns=["image", "image_id", *columns])
        parts.append((part.head(30) if quick else part).assign(split=name.partition("-")[0]))
    frame = pd.concat(parts, ignore_index=True)
    for column in columns:
        frame[column] = [[normalize_text(text) for text in captions] for captions in frame[column]]
    return frame


def normalize_text(text: str) -> str:
    """Words in lower case, divided by one blank."""
    return " ".join(MARKS.sub(" ", text.lower()).split())


def text_metrics(
    targets: Sequence[Any], texts: Sequence[str], reads: Sequence[str] = (), metric: str | None = None
) -> Made:
    """All metrics of texts that no model of ours wrote: copies, neighbours, one for all."""
    outcome = Outcome("text", list(targets), list(texts), metric=metric, reads=tuple(reads))
    return numbers(judges.judge(outcome, bootstrap=0).metrics)


def numbers(metrics: Mapping[str, Any]) -> Made:
    """Those that are numbers, rounded."""
    return {name: round(float(value), 5) for name, value in metrics.items() if isinstance(value, (int, float))}


def writer(
    run: Run,
    frame: Callable[[], pd.DataFrame],
    settings: Mapping[str, Any],
    seed: int,
    ways: Mapping[str, Mapping[str, Any]],
    *,
    keep: Path | None = None,
) -> tuple[pf.Model, Made]:
    """A model fitted on the column ``split``, and its test rows written and judged in several ways.

    Args:
        frame: gives the table, which is read only where something is to be measured.
        ways: name -> options of decoding.
        keep: folder that the model is saved in.

    Raises:
        KeyboardInterrupt: training was stopped, so that its figures are none to keep.
    """
    asked = {**settings, "training": {**settings.get("training", {}), **(QUICK if run.quick else {})}}
    table = frame()
    model = pf.fit(table[table.split != "test"], settings=asked, split="split", seed=seed, quiet=True)
    if model.facts["training"]["interrupted"]:
        raise KeyboardInterrupt("training was stopped")
    if keep is not None:
        model.save(keep)
    test = table[table.split == "test"]
    written = {name: ways_of(model, test, options) for name, options in ways.items()}
    told = {key: model.facts["training"][key] for key in ("steps", "kept")}
    spent = {f"{part}_seconds": seconds for part, seconds in model.facts["seconds"].items()}
    return model, {"written": written, "decoding": {n: dict(o) for n, o in ways.items()}, **told, **spent}


def ways_of(model: pf.Model, test: pd.DataFrame, options: Mapping[str, Any]) -> Made:
    """Metrics of the test rows, written in one way."""
    report = model.evaluate(test, decode=dict(options) or None, verbose=False)
    (output,) = report.outputs.values()
    return numbers(output.metrics)


def cells(made: Iterable[Made], way: str, metrics: Sequence[str], *, digits: int = 1, times: float = 100) -> list[str]:
    """A cell per metric, mean and spread over seeds."""
    made = list(made)
    return [mean_and_deviation((times * one["written"][way][name] for one in made), digits) for name in metrics]


def baseline_cells(
    found: Mapping[str, float], metrics: Sequence[str], *, digits: int = 1, times: float = 100
) -> list[str]:
    """The same of a baseline."""
    return [f"{times * found[name]:.{digits}f}" if name in found else "" for name in metrics]


def format_minutes(made: Iterable[Made]) -> str:
    """Minutes of training and of the whole, of the slowest seed."""
    made = list(made)
    return f"{max(m['training_seconds'] for m in made) / 60:.0f} of {max(m['seconds'] for m in made) / 60:.0f}"
