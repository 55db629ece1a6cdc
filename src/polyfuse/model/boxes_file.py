"""Boxes that a model found, written as an annotation file of COCO: ``NAME.coco.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.data.annotations_coco import coco_of
from polyfuse.data.prepare import Prepared
from polyfuse.data.tables import Table
from polyfuse.model.bundle import Bundle
from polyfuse.recipe.outputs import picture_columns

ENDING = ".coco.json"
NUMBERS = "image_id"  # the column of a table read from such a file that holds the pictures' numbers


def asked(to: str | Path | None, bundle: Bundle) -> str | None:
    """The output whose boxes are to be written, where a path asks for such a file; else None.

    Raises:
        ValueError: it does, and no output has boxes, or several have.
    """
    if to is None or not str(to).lower().endswith(ENDING):
        return None
    found = [name for name in bundle.recipe.outputs if bundle.network.head(name).task == "boxes"]
    if len(found) != 1:
        what = f"outputs {', '.join(found)} have" if found else "no output of this model has"
        raise ValueError(f"{to} is a file of COCO for the boxes of one output, and {what} boxes: name a .csv or .jsonl")
    return found[0]


def write(
    bundle: Bundle,
    table: Table,
    prepared: Mapping[str, Prepared],
    output: str,
    boxes: Sequence[Sequence[Mapping[str, Any]]],
    place: Path,
) -> list[str]:
    """Write the boxes of every row whose picture can be read; notes on the others.

    Pictures keep the numbers of the column ``image_id``, where the table has whole numbers there that are all
    different, and are else numbered by their rows from 1 on; categories keep those of the training table.
    """
    transform: Any = bundle.transforms[f"out:{output}"]
    pixels = transform.pixels
    cells = prepared[f"own:{output}"]
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
            f"{place.name}: {lost:,} of {len(table):,} rows have no picture that can be read, and are left out"
        )
    return notes


def _numbers(table: Table) -> list[int]:
    """A number per row for its picture."""
    if NUMBERS in table.frame:
        found = table.frame[NUMBERS]
        whole = [isinstance(number, (int, np.integer)) and not isinstance(number, bool) for number in found]
        if all(whole) and found.is_unique:
            return [int(number) for number in found]
    return [int(row) + 1 for row in table.rows_N]
