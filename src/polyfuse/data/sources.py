"""What ``read_table`` takes: a path, frame, dataset or plain Python becomes parts, each a frame with clean names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from polyfuse.data.files import READERS, TableError, from_arrow, from_columns, from_records, read_csv

SPLIT_WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev", "development"),
    "test": ("test", "testing", "eval", "evaluation"),
}


def split_word(value: Any) -> str | None:
    """``train``, ``val`` or ``test`` for what people write for them; None for anything else."""
    word = str(value).strip().lower()
    return next((split for split, words in SPLIT_WORDS.items() if word in words), None)


@dataclass(frozen=True)
class Part:
    """One file or object that a table is made of.

    Args:
        frame: the cells, under clean column names.
        name: what messages call it.
        notes: what was changed.
        root: the file's folder.
        split: train, val or test when its name says so.
        text: True when the cells are CSV text whose types are still to be found.
    """

    frame: pd.DataFrame
    name: str
    notes: list[str] = field(default_factory=list)
    root: Path | None = None
    split: str | None = None
    text: bool = False


def parts_of(source: Any) -> list[Part]:
    """The parts of any source that ``read_table`` takes, in order.

    Raises:
        TableError: not a source, not there, not readable, or with duplicate column names.
    """
    if isinstance(source, (str, Path)):
        return [_from_path(Path(source).expanduser())]
    if isinstance(source, Mapping) and source and all(_is_part(*item) for item in source.items()):
        return [_keyed(part, key) for key, value in source.items() for part in parts_of(value)]
    if isinstance(source, (list, tuple)) and source and all(_is_table(item) for item in source):
        return [replace(part, split=_split_in_path(part)) for item in source for part in parts_of(item)]
    return [_from_object(source)]


def _is_table(value: Any) -> bool:
    return isinstance(value, (str, Path, pd.DataFrame, pa.Table)) or _is_dataset(value)


def _is_part(key: Any, value: Any) -> bool:
    """A table under any key, which ``_keyed`` checks; rows or columns of plain Python only under a split's name."""
    rows = isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(row, Mapping) for row in value)
    return _is_table(value) or (split_word(key) is not None and (rows or isinstance(value, Mapping)))


def _is_column(value: Any) -> bool:
    """Whether a value of a dict is a column of cells, and not one cell."""
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes, bytearray, memoryview, Mapping))


def _is_dataset(value: Any) -> bool:
    """A Hugging Face ``Dataset``, known by what it can do: importing the library to ask takes a second."""
    return hasattr(value, "with_format") and hasattr(value, "features")


def _keyed(part: Part, key: Any) -> Part:
    if split := split_word(key):
        return replace(part, split=split, name=part.name if part.root else str(key))
    raise TableError(f"a dict of tables needs the keys train, val and test; found {key!r}")


def _split_in_path(part: Part) -> str | None:
    """The split that a file name (``train-0.csv``) or else its folder (``test/metadata.csv``) says."""
    return _split_in(Path(part.name).stem) or (_split_in(part.root.name) if part.root else None)


def _split_in(name: str) -> str | None:
    words = {split_word(word) for word in re.split(r"[^a-z]+", name.lower())} - {None}
    return words.pop() if len(words) == 1 else None


def _from_object(source: Any) -> Part:
    if isinstance(source, pd.DataFrame):
        return _clean(with_index(source), "the DataFrame")
    if isinstance(source, pa.Table):
        return _clean(from_arrow(source), "the Arrow table")
    if _is_dataset(source):
        return _from_dataset(source)
    if isinstance(source, Mapping):
        single = [str(name) for name, value in source.items() if not _is_column(value)]
        if single and len(single) == len(source):
            return _clean(from_records([source]), "the dict of one row")
        if single:
            raise TableError(
                f"the dict holds single cells ({', '.join(map(repr, single[:5]))}) beside columns of many; a row is a "
                "dict in a list, [{...}], and a table a dict of equally long lists"
            )
        return _clean(from_columns(source), "the dict of lists")
    if isinstance(source, (list, tuple)) and all(isinstance(row, Mapping) for row in source):
        return _clean(from_records(list(source)), "the list of dicts")
    raise TableError(
        f"cannot read a table from a {type(source).__name__}; expected a path, a list of paths, a DataFrame, a Hugging "
        "Face Dataset, a list of dicts or a dict of lists"
    )


def _from_path(path: Path) -> Part:
    if not path.is_file():
        raise TableError(_no_file(path))
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise TableError(f"{path}: unknown kind of file; expected {', '.join(READERS)}")
    frame, notes = reader(path)
    return replace(_clean(frame, path.name, notes), root=path.parent.resolve(), text=reader is read_csv)


def _no_file(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir():
        return f"{path}: no such file, and no folder {folder}"
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in READERS)
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5) or names[:5]
    problem = "is a folder; name the table in it" if folder == path else "no such file"
    return f"{path}: {problem}. Tables in {folder}: {', '.join(near) or 'none'}"


def _from_dataset(source: Any) -> Part:
    if not hasattr(source, "__len__"):
        raise TableError("a streaming dataset has no end to wait for; take rows first: list(dataset.take(1000))")
    # the Arrow format hands out what is stored, {"bytes", "path"} for media, and decodes nothing
    frame = from_arrow(source.with_format("arrow")[:]) if len(source) else pd.DataFrame()
    for name in frame.columns:
        if names := getattr(source.features[name], "names", None):  # ClassLabel: numbers that stand for names, -1 none
            frame[name] = frame[name].map(dict(enumerate(names))).astype(object)
    return _clean(frame, "the dataset")


def with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """A named index is a column; an unnamed one only counts rows."""
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(level=named) if named else frame


def _clean(frame: pd.DataFrame, name: str, notes: list[str] | None = None) -> Part:
    """Column names as text without blanks around them, all different; rows numbered from 0."""
    notes = list(notes or [])
    if frame.shape[1] > 1 and not str(frame.columns[0]).strip() and _counts_rows(frame.iloc[:, 0]):
        frame = frame.iloc[:, 1:]
        notes.append(f"{name}: the first column has no name and counts the rows; left out")
    names = [str(old).strip() or f"column_{i}" for i, old in enumerate(frame.columns, 1)]
    if changed := [new for old, new in zip(frame.columns, names, strict=True) if str(old) != new]:
        notes.append(f"{name}: blanks around column names are taken off, empty names filled: {', '.join(changed)}")
    if twice := sorted({column for column in names if names.count(column) > 1}):
        raise TableError(f"{name} has more than one column called {', '.join(map(repr, twice))}; rename all but one")
    return Part(frame.set_axis(names, axis=1).reset_index(drop=True), name, notes)


def _counts_rows(series: pd.Series) -> bool:
    return series.astype(str).tolist() == [str(i) for i in range(len(series))]
