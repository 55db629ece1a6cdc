"""Predictions as a table: a column per output and probability, beside the source's columns where asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from polyfuse.data.cells.media_files import encode_media
from polyfuse.data.frames import index_to_columns
from polyfuse.data.names import safe_file_name
from polyfuse.data.sources import read_parts
from polyfuse.data.tables import Table
from polyfuse.errors import format_count

if TYPE_CHECKING:  # looking at a table needs no torch
    from polyfuse.records import Prediction

MANY = 20  # classes above which a file gets no column per class unless asked
MARK = "made-by-polyfuse.txt"  # in folders of made files: a later prediction may write over what lies there


@dataclass(frozen=True)
class Answers:
    """Predictions by column.

    Args:
        frame: one row per row of the table.
        values: output -> the column of its value.
        probabilities: output -> the columns of its classes' probabilities.
        number: the column of rows' numbers.
    """

    frame: pd.DataFrame
    values: dict[str, str]
    probabilities: dict[str, list[str]]
    number: str

    def without(self, outputs: Collection[str]) -> pd.DataFrame:
        """The table without the probabilities of some outputs."""
        return self.frame.drop(columns=[column for name in outputs for column in self.probabilities.get(name, [])])

    @property
    def wide(self) -> list[str]:
        """Outputs with so many classes that a file gets no column for each unless asked."""
        return [name for name, columns in self.probabilities.items() if len(columns) > MANY]


def tabulate(
    predictions: Mapping[str, Prediction],
    classes: Mapping[str, list[Any]],
    table: Table,
    index: pd.Index | None = None,
    beside: Collection[str] | None = None,
) -> Answers:
    """Put the predictions of a table's rows into columns.

    Columns are ``row``, the row's number in the table from 0 on (``table_row`` where an output is called so), the
    table's column of identifiers where it has one, and for each output its value under its own name,
    ``OUTPUT_confidence`` and ``OUTPUT_p_CLASS``. A value keeps the output's name; anything else whose name is taken
    gets the next free one, such as ``label_confidence_2``.

    Args:
        classes: output -> its classes.
        index: of the result; rows counted from 0 by default.
        beside: names of columns that the answers will stand beside: an answer so called becomes ``NAME_predicted``,
            and the identifiers, which are among them, are not given again.
    """
    taken = set(beside or ())
    values = {name: _free(name if name not in taken else f"{name}_predicted", taken) for name in predictions}
    number = _free("row" if "row" not in taken else "table_row", taken)
    columns: dict[str, Any] = {number: table.rows_N}
    if beside is None and table.identifier is not None and table.identifier not in taken:
        columns[table.identifier] = table.frame[table.identifier].to_numpy()
        taken.add(table.identifier)
    probabilities: dict[str, list[str]] = {}
    for name, found in predictions.items():
        columns[values[name]] = found.value
        if "confidence" in found.extra:
            columns[_free(f"{name}_confidence", taken)] = found.extra["confidence"]
        if "probabilities" in found.extra:
            probabilities[name] = [_free(f"{name}_p_{label}", taken) for label in classes[name]]
            columns |= {column: found.extra["probabilities"][:, k] for k, column in enumerate(probabilities[name])}
    return Answers(_frame(columns, index), values, probabilities, number)


def write_media(found: pd.DataFrame, made: Answers, place: Path) -> tuple[pd.DataFrame, list[str]]:
    """Write pictures and sounds into files beside a table, ``TABLE_files/OUTPUT/ROW.png``, named in their cells.

    Files of an earlier prediction are written over; a folder of that name that holds anything else is left alone, and
    ``TABLE_files_2`` is taken.

    Args:
        found: columns of the answers.
        made: the answers, which say what their columns are.
        place: of the table; paths in its cells start from its folder.

    Returns:
        The table with paths in place of pictures and sounds, and a note per output on where its files lie.
    """
    found, notes, taken = found.copy(), [], list[str]()
    for output, column in made.values.items():
        files = [encode_media(value) for value in found[column]] if column in found else []
        if not any(files):
            continue
        taken.append(safe_file_name(output, taken))
        folder = Path(_own_folder(place), taken[-1])
        (place.parent / folder).mkdir(exist_ok=True)
        paths, used = list[str | None](), set[str]()
        for number, file in zip(found[made.number], files, strict=True):
            path = None if file is None else folder / f"{_free(str(number), used)}{file[0]}"
            paths.append(None if path is None else path.as_posix())
            if path is not None and file is not None:
                (place.parent / path).write_bytes(file[1])
        found[column] = paths
        notes.append(
            f"output {output!r}: {format_count(len(found), 'row has', 'rows have')} files in {place.parent / folder}"
        )
    return found, notes


def _own_folder(place: Path) -> str:
    """The name of a folder for made files beside a table, which is there and bears the mark."""
    name, number = f"{place.stem}_files", 2
    while (folder := place.parent / name).exists() and not (folder / MARK).exists():
        if folder.is_dir() and not any(folder.iterdir()):
            break
        name, number = f"{place.stem}_files_{number}", number + 1
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("Pictures and sounds of polyfuse predict; a later prediction writes over them.\n")
    return name


def _free(name: str, taken: set[str]) -> str:
    """The name, or with the first number that makes it free; it is taken from then on."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    taken.add(free)
    return free


def _frame(columns: dict[str, Any], index: pd.Index | None) -> pd.DataFrame:
    frame = pd.DataFrame(columns)
    return frame if index is None else frame.set_axis(index, axis=0)


def source_index(source: Any, table: Table) -> pd.Index | None:
    """The index of the rows of a frame that a table was read from; None of anything else."""
    return source.index[table.rows_N] if isinstance(source, pd.DataFrame) else None


def source_columns(source: Any, table: Table, *, as_written: bool) -> pd.DataFrame:
    """The columns that a table came with, for its rows.

    Args:
        source: what the table was read from.
        as_written: for a file: cells of text files as they stand there, so that ``1.50`` stays ``1.50``, and a named
            index as a column; else typed, with the index of the source.
    """
    if isinstance(source, pd.DataFrame):
        return (index_to_columns(source) if as_written else source).iloc[table.rows_N]
    if not as_written or isinstance(source, Table):
        return table.frame
    parts = read_parts(source)
    if not any(part.text for part in parts):
        return table.frame
    return pd.concat([part.frame for part in parts], ignore_index=True).iloc[table.rows_N].reset_index(drop=True)


def join_columns(own: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """A table's own columns, then its answers."""
    return pd.concat([own, found.set_axis(own.index, axis=0)], axis=1)
