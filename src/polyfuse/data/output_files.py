"""Write predictions and vectors into files; paths are checked before any work is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from polyfuse import registry
from polyfuse.data.output_paths import refuse_source

FRAMES: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    ".csv": lambda frame, place: frame.to_csv(place, index=False),
    ".tsv": lambda frame, place: frame.to_csv(place, index=False, sep="\t"),
    ".jsonl": lambda frame, place: frame.to_json(place, orient="records", lines=True, force_ascii=False),
    ".parquet": lambda frame, place: frame.to_parquet(place, index=False),
}


def check_output_path(to: str | Path, endings: Iterable[str], source: Any = None) -> Path:
    """Check the path of an output file, make its folder, and return it.

    Args:
        source: the table that is read, in any form; its files are never written over.

    Raises:
        ValueError: an ending that is not among these, or the place is a file of the source.
    """
    place = Path(to).expanduser()
    registry.choose(dict.fromkeys(endings), place.suffix.lower(), "ending of an output file")
    refuse_source(place, source)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def write_frame(frame: pd.DataFrame, place: Path) -> tuple[list[str], list[str]]:
    """Write a frame in the format of the file's ending, without columns of pictures, arrays and the like.

    Returns:
        The columns written, and a note on those that were left out.
    """
    ending = place.suffix.lower()
    bare = [at for at in range(frame.shape[1]) if not all(_is_writable(c, ending) for c in frame.iloc[:, at])]
    listed = ", ".join(repr(str(frame.columns[at])) for at in bare)
    kept = frame.iloc[:, [at for at in range(frame.shape[1]) if at not in bare]]
    if ending in (".csv", ".tsv"):
        kept = kept.apply(lambda column: column.map(_as_text) if column.dtype == object else column)
    FRAMES[ending](kept.set_axis(kept.columns.map(str), axis=1), place)
    notes = [f"{place.name} cannot hold the bytes, arrays or pictures of {listed}: left out of the file"]
    return list(map(str, kept.columns)), notes if bare else []


def _as_text(cell: Any) -> Any:
    """Objects in lists as JSON, which a cell of text can hold."""
    objects = isinstance(cell, (list, tuple)) and bool(cell) and all(isinstance(part, dict) for part in cell)
    return json.dumps(cell, ensure_ascii=False, default=str) if objects else cell


def _is_writable(cell: Any, ending: str) -> bool:
    if isinstance(cell, (list, tuple)):
        return all(_is_writable(part, ending) for part in cell)
    if isinstance(cell, dict):
        return all(_is_writable(part, ending) for part in cell.values())
    if isinstance(cell, np.ndarray):
        return cell.ndim == 1 and cell.dtype != object and ending in (".jsonl", ".parquet")
    if isinstance(cell, bytes):
        return ending == ".parquet"
    return cell is None or cell is pd.NA or isinstance(cell, (str, int, float, complex, date, Path, np.generic))


def write_vectors(vectors: np.ndarray, place: Path) -> None:
    """Write an array as .npy; given a name instead of an open file, NumPy would add an ending to some."""
    with place.open("wb") as file:
        np.save(file, vectors)
