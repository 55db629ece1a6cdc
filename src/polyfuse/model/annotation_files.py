"""Predictions as the annotation files of their field: tags as columns of CoNLL, boxes as COCO; see ``FORMATS``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.data.annotations_coco import coco_of
from polyfuse.data.cells.source import BadCell, is_missing
from polyfuse.data.cells.target_tags import listed_tags
from polyfuse.data.cells.text import as_text
from polyfuse.data.cells.word_lists import UNCUT, listed_words, word_places
from polyfuse.data.conll import ENDINGS, write_conll
from polyfuse.data.prepare import Prepared
from polyfuse.data.tables import Table
from polyfuse.errors import format_count
from polyfuse.model.bundle import Bundle
from polyfuse.recipe.outputs import picture_columns, word_columns
from polyfuse.records import Prediction


@dataclass(frozen=True)
class Answered:
    """What a model said of a table.

    Args:
        bundle: the model.
        table: the rows that were asked.
        prepared: their cells; see ``prepare_all``.
        predictions: output -> what was said.
    """

    bundle: Bundle
    table: Table
    prepared: Mapping[str, Prepared]
    predictions: Mapping[str, Prediction]


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Args:
        endings: of its names, in lower case.
        check: raises a ValueError where a model's outputs cannot be written so; asked before any work is done.
        write: writes what was said, with the table's own columns where asked and possible; returns the columns
            written, and notes.
    """

    endings: tuple[str, ...]
    check: Callable[[Bundle, Path], Any]
    write: Callable[[Answered, Path, bool], tuple[list[str], list[str]]]


def format_of(bundle: Bundle, to: str | Path | None) -> Format | None:
    """The kind of annotation file that the ending of a path says; None for a table.

    Raises:
        ValueError: the model's outputs cannot be written so.
    """
    name = "" if to is None else str(to).lower()
    found = next((one for one in FORMATS if name.endswith(one.endings)), None)
    if found is not None and to is not None:
        found.check(bundle, Path(to))
    return found


# ---- tags


def _tagged_column(bundle: Bundle, place: Path) -> str:
    """The column of words that outputs tag.

    Raises:
        ValueError: none is tagged, or several are, or by spans of characters.
    """
    recipe = bundle.recipe
    columns = word_columns(recipe)
    other = [name for name in recipe.outputs if name not in columns]
    wanted = f"{place.name}: a file of columns holds a tag per word"
    if not columns or other:
        raise ValueError(f"{wanted}, and output {(other or ['none'])[0]!r} has none; write .csv, .jsonl or .parquet")
    if spans := [name for name in columns if recipe.outputs[name].head.keywords.get("form") == "spans"]:
        raise ValueError(f"{wanted}, and output {spans[0]!r} says spans of characters; write .jsonl or .parquet")
    if len(set(columns.values())) > 1:
        listed = ", ".join(f"{name!r} of {column!r}" for name, column in columns.items())
        raise ValueError(f"{wanted} of one column, and outputs tag several: {listed}; write .jsonl or .parquet")
    return next(iter(columns.values()))


def _write_tags(answered: Answered, place: Path, with_table: bool) -> tuple[list[str], list[str]]:
    """A word per line with its tags behind it, those of the table before those that were predicted."""
    column, table = _tagged_column(answered.bundle, place), answered.table
    words = [_words(cell) for cell in table.frame[column]]
    columns: dict[str, list[list[Any]]] = {column: words}
    for name in table.frame if with_table else ():
        if name != column and (own := _beside(table.frame[name], words)) is not None:
            columns[str(name)] = own
    for name, said in answered.predictions.items():
        columns[name if name not in columns else f"{name}_predicted"] = [list(tags or []) for tags in said.value]
    return list(columns), write_conll(place, columns)


def _words(cell: Any) -> list[str]:
    """The words of a cell; none of one that is missing or cannot be read, which has no tags either."""
    if is_missing(cell):
        return []
    if (words := listed_words(cell)) is not None:
        return words
    text, places = as_text(cell, UNCUT), word_places(cell)
    if isinstance(text, BadCell) or isinstance(places, BadCell):
        return []
    return [text[start:end] for start, end in places]


def _beside(cells: Any, words: list[list[str]]) -> list[list[Any]] | None:
    """The labels of a column that has one per word in every row, else None."""
    found = []
    for cell, own in zip(cells, words, strict=True):
        empty = is_missing(cell) or (isinstance(cell, (list, np.ndarray)) and not len(cell))
        labels = [] if empty else listed_tags(cell)
        if labels is None or len(labels) != len(own):
            return None
        found.append(labels)
    return found


# ---- boxes

NUMBERS = "image_id"  # the column of a table read from a file of COCO that holds the pictures' numbers


def _boxed_output(bundle: Bundle, place: Path) -> str:
    """The output whose boxes are to be written.

    Raises:
        ValueError: no output has boxes, or several have.
    """
    found = [name for name in bundle.recipe.outputs if bundle.network.head(name).task == "boxes"]
    if len(found) != 1:
        what = f"outputs {', '.join(found)} have" if found else "no output of this model has"
        raise ValueError(
            f"{place} is a file of COCO for the boxes of one output, and {what} boxes: name a .csv or .jsonl"
        )
    return found[0]


def _write_boxes(answered: Answered, place: Path, with_table: bool) -> tuple[list[str], list[str]]:  # noqa: ARG001
    """The boxes of every row whose picture can be read; notes on the others.

    Pictures keep the numbers of the column ``image_id``, where the table has whole numbers there that are all
    different, and are else numbered by their rows from 1 on; categories keep those of the training table.
    """
    output, bundle, table = _boxed_output(answered.bundle, place), answered.bundle, answered.table
    boxes = list(answered.predictions[output].value)
    transform: Any = bundle.transforms[f"out:{output}"]
    pixels = transform.pixels
    cells = answered.prepared[f"own:{output}"]
    numbers, files = _numbers(table), table.frame[picture_columns(bundle.recipe)[output]]
    kept = [row for row in range(len(table)) if cells.index_RK[row, 0] >= 0]
    images = []
    for row in kept:
        height, width, turn = map(int, cells.cells[cells.index_RK[row, 0]])
        tall, wide = (width, height) if pixels == "upright" and turn > 4 else (height, width)
        file = files.iat[row]
        name = file if isinstance(file, str) and len(file) < 1000 else f"row {int(table.rows_N[row])}"
        images.append({"id": numbers[row], "file_name": name, "width": wide, "height": tall})
    labels = dict(zip(transform.classes, transform.ids, strict=True))
    whole = coco_of([boxes[row] for row in kept], images, labels)
    place.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf8")
    count = len(whole["annotations"])
    notes = [f"{place.name}: {count:,} boxes of output {output!r} in {len(kept):,} pictures, as COCO writes them"]
    if lost := len(table) - len(kept):
        notes.append(
            f"{place.name}: left out, without a picture that can be read: {lost:,} of {format_count(len(table), 'row')}"
        )
    return [output], notes


def _numbers(table: Table) -> list[int]:
    """A number per row for its picture."""
    if NUMBERS in table.frame:
        found = table.frame[NUMBERS]
        whole = [isinstance(number, (int, np.integer)) and not isinstance(number, bool) for number in found]
        if all(whole) and found.is_unique:
            return [int(number) for number in found]
    return [int(row) + 1 for row in table.rows_N]


FORMATS = (
    Format(ENDINGS, _tagged_column, _write_tags),
    Format((".coco.json",), _boxed_output, _write_boxes),
)
