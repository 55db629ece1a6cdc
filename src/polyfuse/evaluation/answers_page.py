"""Predictions as a page: rows with their inputs, and what a model says of them, drawn and coloured where it can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyfuse.data.tables import Table
from polyfuse.evaluation.drawn_places import draw_places
from polyfuse.evaluation.html import data_uri, environment, write_label
from polyfuse.evaluation.marked_words import mark_text
from polyfuse.evaluation.previews import preview_cell, preview_media
from polyfuse.model.bundle import Bundle
from polyfuse.model.prepare import read_options
from polyfuse.recipe.outputs import picture_columns, word_columns

MOST = 100  # rows of a page
FEW = 12  # boxes of a row that are listed


def page(bundle: Bundle, table: Table, values: Mapping[str, list[Any]], facts: Mapping[str, Any]) -> str:
    """The first rows as one self-contained page.

    Args:
        values: output -> what was said of every row.
        facts: ``model`` and ``table``.
    """
    rows = [_row(bundle, table, values, row) for row in range(min(MOST, len(table)))]
    view = {"rows": rows, "left_out": len(table) - len(rows), "meta": facts, "title": facts["model"]}
    return environment().get_template("answers.html").render(view)


def _row(bundle: Bundle, table: Table, values: Mapping[str, list[Any]], row: int) -> dict[str, Any]:
    recipe, reading = bundle.recipe, read_options(bundle.recipe, table)
    columns = {column: recipe.data.modalities[column] for item in recipe.inputs.values() for column in item.columns}
    cells = []
    for column, modality in columns.items():
        shown = preview_cell(modality, table.frame[column].iat[row], table.root, reading.limits)
        cells.append((column, shown.kind, data_uri(shown.kind, shown.data), shown.data))
    answers = [_answer(bundle, table, output, said[row], row) for output, said in values.items()]
    return {"number": int(table.rows_N[row]), "cells": cells, "answers": answers}


def _answer(bundle: Bundle, table: Table, output: str, value: Any, row: int) -> dict[str, Any]:
    """One answer: a picture or sound, coloured words, or a text."""
    recipe, reading = bundle.recipe, read_options(bundle.recipe, table)
    found: dict[str, Any] = {"output": output, "picture": None, "sound": None, "pieces": None, "said": ""}
    if (column := picture_columns(recipe).get(output)) is not None:
        pixels = recipe.outputs[output].head.keywords.get("pixels", "stored")
        cell = table.frame[column].iat[row]
        drawn = draw_places(cell, None, value, pixels=pixels, root=table.root, limits=reading.limits)
        shown = None if drawn is None else drawn.predicted
        found["picture"] = None if shown is None else data_uri(shown.kind, shown.data)
        found["said"] = _list_boxes(value) if isinstance(value, list) else ""
    elif (column := word_columns(recipe).get(output)) is not None:
        marked = mark_text(table.frame[column].iat[row], None, value)
        found["pieces"] = None if marked is None else marked.predicted
    elif (made := preview_media(value)) is not None:
        found["picture" if made.kind == "image" else "sound"] = data_uri(made.kind, made.data)
    else:
        found["said"] = write_label(value)
    return found


def _list_boxes(boxes: list[Mapping[str, Any]]) -> str:
    named = [f"{box['label']} {box['score']:.2f}" for box in boxes[:FEW]]
    more = [f"and {len(boxes) - FEW} more"] if len(boxes) > FEW else []
    return ", ".join([*named, *more]) or "nothing was found"
