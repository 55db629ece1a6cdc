"""Predictions as the annotation files of their field: tags as column files of CoNLL; a row of ``FORMATS`` each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.data.cells.source import BadCell, is_missing
from polyfuse.data.cells.target_tags import listed_tags
from polyfuse.data.cells.text import as_text
from polyfuse.data.cells.word_lists import UNCUT, listed_words, word_places
from polyfuse.data.conll import ENDINGS, write_conll
from polyfuse.data.tables import Table
from polyfuse.recipe import Recipe
from polyfuse.recipe.outputs import word_columns
from polyfuse.records import Prediction


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Args:
        check: raises a ValueError where a recipe's outputs cannot be written so; asked before any work is done.
        write: writes the predictions of a table's rows, with the table's own columns where asked; returns the columns
            written, and notes.
    """

    check: Callable[[Recipe, Path], Any]
    write: Callable[[Recipe, Table, Mapping[str, Prediction], Path, bool], tuple[list[str], list[str]]]


def format_of(recipe: Recipe, place: Path | None) -> Format | None:
    """The kind of annotation file that the ending of a path says; None for a table.

    Raises:
        ValueError: the recipe's outputs cannot be written so.
    """
    found = None if place is None else FORMATS.get(place.suffix.lower())
    if found is not None and place is not None:
        found.check(recipe, place)
    return found


def _tagged_column(recipe: Recipe, place: Path) -> str:
    """The column of words that outputs tag.

    Raises:
        ValueError: none is tagged, or several are, or by spans of characters.
    """
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


def _write_tags(
    recipe: Recipe, table: Table, predictions: Mapping[str, Prediction], place: Path, with_table: bool
) -> tuple[list[str], list[str]]:
    """A word per line with its tags behind it, those of the table before those that were predicted."""
    column = _tagged_column(recipe, place)
    words = [_words(cell) for cell in table.frame[column]]
    columns: dict[str, list[list[Any]]] = {column: words}
    for name in table.frame if with_table else ():
        if name != column and (own := _beside(table.frame[name], words)) is not None:
            columns[str(name)] = own
    for name, said in predictions.items():
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


FORMATS: dict[str, Format] = dict.fromkeys(ENDINGS, Format(_tagged_column, _write_tags))
"""Ending -> kind of annotation file."""
