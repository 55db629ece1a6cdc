"""Read the sources that ``read_table`` takes into frames with clean column names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from polyfuse.data.archives import COMPRESSIONS, explain_file_kind, local_path, unpack
from polyfuse.data.cells.source import repair_surrogates
from polyfuse.data.coerce import drop_signalling_nans, repair_text_column
from polyfuse.data.files import READERS, from_arrow, from_records, read_csv, reader_by_content
from polyfuse.data.frames import explain_not_a_table, from_mapping, is_frame, to_pandas
from polyfuse.errors import TableError

SPLIT_WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev", "development"),
    "test": ("test", "testing", "eval", "evaluation"),
}


UNNAMED = re.compile(r"(?:Unnamed: \d+(?:_level_\d+)*(?:\.\d+)*)?")
"""What an index is called when it was written without a name, and read again."""


def parse_split_name(value: Any) -> str | None:
    """Map words for a split (``training``, ``dev``, ...) to ``train``, ``val`` or ``test``; None for anything else."""
    word = str(value).strip().lower()
    return next((split for split, words in SPLIT_WORDS.items() if word in words), None)


@dataclass(frozen=True)
class SourcePart:
    """One file or object that a table is made of.

    Args:
        frame: the cells, under clean column names.
        name: what messages call it.
        notes: what was changed.
        root: the file's folder.
        split: train, val or test when its name says so.
        text: True when the cells are CSV text whose types are still to be found.
        usual: the format of numbers that the file's form suggests, see ``formats``; empty for none.
        files: all that it was read from, where several make up one table.
        alike: columns that tell each other; where one is learnt, none of the others is an input.
    """

    frame: pd.DataFrame
    name: str
    notes: list[str] = field(default_factory=list)
    root: Path | None = None
    split: str | None = None
    text: bool = False
    usual: str = ""
    files: tuple[str, ...] = ()
    alike: tuple[tuple[str, ...], ...] = ()


def read_parts(source: Any) -> list[SourcePart]:
    """Read the parts of any source that ``read_table`` takes, in order.

    Raises:
        TableError: not a source, not there, not readable, or with duplicate column names.
    """
    if isinstance(source, (str, Path)):
        return [_from_path(local_path(source))]
    if isinstance(source, Mapping) and source and all(_is_part(*item) for item in source.items()):
        return [_name_part(part, key) for key, value in source.items() for part in read_parts(value)]
    if isinstance(source, (list, tuple)) and source and all(_is_table(item) for item in source):
        parts = [replace(part, split=_split_in_path(part)) for item in source for part in read_parts(item)]
        return [part for at, part in enumerate(parts) if not _is_read_by(part, parts[:at])]
    return [_from_object(source)]


def _is_read_by(part: SourcePart, others: list[SourcePart]) -> bool:
    """Whether a part is made of the files of another: questions and answers that were both named are one table."""
    return bool(part.files) and any(set(part.files) == set(other.files) for other in others)


def _is_table(value: Any) -> bool:
    return isinstance(value, (str, Path)) or _is_dataset(value) or is_frame(value)


def _is_part(key: Any, value: Any) -> bool:
    """A table under any key, which ``_name_part`` checks; rows or columns of plain Python only under a split's name.

    A text that names no table, under another key, is a cell.
    """
    if isinstance(value, (str, Path)) and Path(value).suffix.lower() not in {*READERS, *COMPRESSIONS}:
        return parse_split_name(key) is not None
    rows = isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(row, Mapping) for row in value)
    return _is_table(value) or (parse_split_name(key) is not None and (rows or isinstance(value, Mapping)))


def _is_dataset(value: Any) -> bool:
    """A Hugging Face ``Dataset``, known by what it can do: importing the library to ask takes a second."""
    return hasattr(value, "with_format") and hasattr(value, "features")


def _name_part(part: SourcePart, key: Any) -> SourcePart:
    if split := parse_split_name(key):
        return replace(part, split=split, name=part.name if part.root else str(key))
    raise TableError(f"a dict of tables needs the keys train, val and test; found {key!r}")


def _split_in_path(part: SourcePart) -> str | None:
    """The split that a file name (``train-0.csv``) or else its folder (``test/metadata.csv``) says."""
    name = Path(part.name)
    known = name.suffix.lower() in {*READERS, *COMPRESSIONS}
    return _split_in_name(name.stem if known else part.name) or (_split_in_name(part.root.name) if part.root else None)


def _split_in_name(name: str) -> str | None:
    words = {parse_split_name(word) for word in re.split(r"[^a-z]+", name.lower())} - {None}
    return words.pop() if len(words) == 1 else None


def _from_object(source: Any) -> SourcePart:
    if _is_dataset(source):
        return _from_dataset(source)
    if is_frame(source):
        return _clean_names(to_pandas(source), "the DataFrame" if isinstance(source, pd.DataFrame) else "the frame")
    if isinstance(source, Mapping):
        frame, notes = from_mapping(source)
        return _clean_names(frame, "the dict", notes)
    if isinstance(source, (list, tuple)) and all(isinstance(row, Mapping) for row in source):
        return _clean_names(from_records(list(source)), "the list of dicts")
    raise TableError(explain_not_a_table(source))


def _from_path(path: Path) -> SourcePart:
    if not path.is_file():
        raise TableError(_explain_missing_file(path))
    name, raw = unpack(path, READERS)
    reader = READERS.get(Path(name).suffix.lower()) or reader_by_content(path, raw)
    if reader is None:
        raise TableError(explain_file_kind(path, READERS))
    frame, notes = reader(path, raw)
    usual, files = frame.attrs.pop("usual", ""), tuple(frame.attrs.pop("files", ()))
    alike = tuple(frame.attrs.pop("alike", ()))
    text = reader is read_csv and not frame.attrs.pop("typed", False)
    part = replace(_clean_names(frame, path.name, notes), root=path.parent.resolve(), text=text)
    return replace(part, usual=usual, files=files, alike=alike)


def _explain_missing_file(path: Path) -> str:
    if unset := re.search(r"\$(\w+|\{\w+\})", str(path)):
        name = unset[1].strip("{}")
        return f"{path}: the environment has no variable {name}: set it to the folder that is meant, or name a table"
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir():
        return f"{path}: no such file, and no folder {folder}"
    names = sorted(
        entry.name for entry in folder.iterdir() if entry.suffix.lower() in (*READERS, *COMPRESSIONS, ".zip")
    )
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5) or names[:5]
    problem = "is a folder; name the table in it" if folder == path else "no such file"
    return f"{path}: {problem}. Tables in {folder}: {', '.join(near) or 'none'}"


def _from_dataset(source: Any) -> SourcePart:
    if not hasattr(source, "__len__"):
        raise TableError("a streaming dataset has no end to wait for; take rows first: list(dataset.take(1000))")
    # the Arrow format hands out what is stored, {"bytes", "path"} for media, and decodes nothing
    frame = from_arrow(source.with_format("arrow")[:]) if len(source) else pd.DataFrame()
    for name in frame.columns:
        if names := getattr(source.features[name], "names", None):  # ClassLabel: numbers that stand for names, -1 none
            frame[name] = frame[name].map(dict(enumerate(names))).astype(object)
    return _clean_names(frame, "the dataset")


def _clean_names(frame: pd.DataFrame, name: str, notes: list[str] | None = None) -> SourcePart:
    """Column names as text without blanks around them, all different; rows numbered from 0."""
    notes = list(notes or [])
    frame = _map_columns(drop_signalling_nans, frame)
    numbering = [
        i
        for i, old in enumerate(frame.columns)
        if UNNAMED.fullmatch(_column_name(old)) and _is_row_index(frame.iloc[:, i])
    ]
    if numbering and len(numbering) < frame.shape[1]:
        listed = ", ".join(_column_name(frame.columns[i]) or "without a name" for i in numbering)
        frame = frame.iloc[:, [i for i in range(frame.shape[1]) if i not in numbering]]
        notes.append(f"{name}: column {listed} numbers the rows, as pandas writes an index; left out")
    names = [_column_name(old) or f"column_{i}" for i, old in enumerate(frame.columns, 1)]
    pairs = list(zip(frame.columns, names, strict=True))
    if changed := [new for old, new in pairs if isinstance(old, str) and old != new]:
        notes.append(f"{name}: blanks around column names are taken off, empty names filled: {', '.join(changed)}")
    if changed := [new for old, new in pairs if not isinstance(old, str)]:
        notes.append(f"{name}: column names that are no texts become texts: {', '.join(map(repr, changed[:8]))}")
    if twice := sorted({column for column in names if names.count(column) > 1}):
        raise TableError(f"{name} has more than one column called {', '.join(map(repr, twice))}; rename all but one")
    frame = frame.set_axis(pd.Index(names, dtype=object), axis=1).reset_index(drop=True)
    for column in names:
        series, said = repair_text_column(frame[column])
        if said:
            frame[column] = series
            notes += said
    return SourcePart(frame, name, notes)


def _map_columns(change: Callable[[pd.Series], pd.Series], frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every column changed, whose names may be any and come twice; itself where none is."""
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    changed = [change(column) for column in columns]
    if all(new is old for new, old in zip(changed, columns, strict=True)):
        return frame
    return pd.concat(changed, axis=1).set_axis(frame.columns, axis=1)


def _column_name(name: Any) -> str:
    """A column's name as text; the levels of a name of several joined by an underscore."""
    if isinstance(name, tuple):
        return "_".join(text for part in name if (text := _column_name(part)))
    return repair_surrogates(str(name)).strip()


def _is_row_index(series: pd.Series) -> bool:
    """Whether a column numbers rows: each once, or counted on from 0 again where frames were put below each other."""
    if pd.api.types.is_bool_dtype(series) or pd.api.types.is_float_dtype(series) or series.isna().any():
        return False
    texts = series.astype(str)
    if not len(texts) or not texts.str.fullmatch("[0-9]{1,18}").all():
        return False
    numbers = texts.astype("int64")
    return numbers.is_unique or bool(((numbers.diff().iloc[1:] == 1) | (numbers.iloc[1:] == 0)).all())
