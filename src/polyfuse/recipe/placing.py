"""What heads that answer in pixels need of a table: the column of pictures, and the input that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from polyfuse import registry
from polyfuse.contracts import ReadsPicture, offers
from polyfuse.data.cells.source import BadCell, is_missing, load_media
from polyfuse.data.cells.target_masks import IGNORED, read_mask
from polyfuse.data.modalities import Column
from polyfuse.data.tables import Table
from polyfuse.recipe import Recipe, RecipeError, parse
from polyfuse.recipe.outputs import picture_columns

LOOKED_AT = 20  # pictures of an output that are looked at for classes
MOST_CLASSES = 40  # of pixels, above which a picture is meant


def reads_picture(head: Mapping[str, Any]) -> bool:
    """Whether a head, as a recipe names it, answers in the pixels of a picture."""
    return head["name"] != "auto" and offers(registry.head(head["name"]), ReadsPicture)


def are_masks(table: Table, column: str, columns: Mapping[str, Column]) -> str:
    """Why pictures of a column are masks of others beside them, or nothing: few classes and no colours in any."""
    cells = [cell for cell in table.frame[column] if not is_missing(cell)]
    beside = [name for name, other in columns.items() if other.modality == "image" and name != column]
    classes = set[int]()
    for cell in cells[:: -(-len(cells) // LOOKED_AT)] if beside and cells else ():
        try:
            own = set(np.unique(read_mask(load_media(cell, table.root))).tolist())
        except BadCell:
            return ""
        classes |= own - {IGNORED}
        if len(classes) > MOST_CLASSES:
            return ""
    return f"{len(classes)} classes of pixels, beside pictures" if len(classes) > 1 else ""


def find_head_picture(
    name: str, output: dict[str, Any], recipe: Recipe, table: Table, columns: Mapping[str, Column]
) -> list[str]:
    """Write into a head that answers in pixels which column holds the pictures.

    Args:
        output: of a recipe, as a dict; changed.

    Raises:
        RecipeError: nothing says which column holds the pictures.
    """
    head = output["head"]
    if head.get("picture") is not None:
        table.require(head["picture"])
        return []
    learnt = {other.column for other in recipe.outputs.values()}
    named = [c for i in recipe.inputs.values() for c in i.columns if i.modality in (None, "image")]
    named += recipe.data.columns
    found = [c for c in columns if columns[c].modality == "image" and c not in learnt and (not named or c in named)]
    if len(found) != 1:
        what = f"several columns of pictures ({', '.join(found)})" if found else "no column of pictures beside it"
        raise RecipeError(
            f"output {name!r} answers in the pixels of a picture, and {table.name} has {what}; name one with "
            f"outputs.{name}.head.picture"
        )
    head["picture"] = found[0]
    return [f"output {name!r} answers in pixels of the pictures in column {found[0]!r}"]


def separate_pictures(recipe: Recipe, values: dict[str, Any]) -> None:
    """Give a column of pictures an input of its own, and one picture per row, where a head answers in its pixels.

    Args:
        values: the recipe as a dict, with columns and modality of every input; changed.
    """
    for column in dict.fromkeys(picture_columns(recipe).values()):
        values["data"]["slots"].pop(column, None)
        for name, item in list(values["inputs"].items()):
            if column not in item["columns"] or len(item["columns"]) == 1 or name in recipe.inputs:
                continue
            item["columns"] = [other for other in item["columns"] if other != column]
            free = column if column not in values["inputs"] else f"{column}_pictures"
            values["inputs"][free] = {"columns": [column], "modality": item["modality"]}


def name_picture_inputs(recipe: Recipe) -> Recipe:
    """The recipe with the input that reads the pictures named in every head that answers in their pixels.

    Raises:
        RecipeError: no input reads them, one that reads other columns as well, or one whose encoders are several.
    """
    values = recipe.model_dump(mode="json")
    for output, column in picture_columns(recipe).items():
        head = values["outputs"][output]["head"]
        named = head.get("input")
        readers = [n for n, i in recipe.inputs.items() if column in i.columns and i.modality == "image"]
        readers = [n for n in readers if named in (None, n)]
        if not readers:
            raise RecipeError(
                f"output {output!r} answers in pixels of the pictures in column {column!r}, and no input reads them as "
                f"pictures; name one: --input pictures@{column}=image"
            )
        item = recipe.inputs[readers[0]]
        if len(item.columns) > 1:
            raise RecipeError(
                f"output {output!r} answers in pixels of column {column!r}, and input {readers[0]!r} reads it together "
                f"with others; give it an input of its own: --input pictures@{column}=image"
            )
        fused = [reader for reader in recipe.reads[readers[0]] if recipe.readers[reader].fused]
        if len(fused) != 1:
            raise RecipeError(
                f"output {output!r} answers on the grid of one encoder, and input {readers[0]!r} has {len(fused)} that "
                f"the fusion sees; name one in inputs.{readers[0]}.encoder, or give the others fused: false"
            )
        head["input"] = readers[0]
    return parse(values)
