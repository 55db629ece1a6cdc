"""Files that a model's answers go to: their ending known and their folder made before any work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from polyfuse import registry

FRAMES: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    ".csv": lambda frame, place: frame.to_csv(place, index=False),
    ".tsv": lambda frame, place: frame.to_csv(place, index=False, sep="\t"),
    ".jsonl": lambda frame, place: frame.to_json(place, orient="records", lines=True, force_ascii=False),
    ".parquet": lambda frame, place: frame.to_parquet(place, index=False),
}


def place_for(to: str, endings: Iterable[str]) -> Path:
    """Where a file will go.

    Raises:
        ValueError: an ending that is not among these.
    """
    place = Path(to)
    registry.choose(dict.fromkeys(endings), place.suffix.lower(), "ending of an output file")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def write_frame(frame: pd.DataFrame, place: Path) -> None:
    """A table, as its file's ending says."""
    FRAMES[place.suffix.lower()](frame, place)


def write_vectors(vectors: np.ndarray, place: Path) -> None:
    """An array; given a name instead of an open file, NumPy would add an ending of its own to some."""
    with place.open("wb") as file:
        np.save(file, vectors)
