"""Reading a table as a recipe says: which columns each part reads, within which limits, prepared into rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polyfuse.data import augment
from polyfuse.data.augment import Augmentation
from polyfuse.data.batches import Rows, Views
from polyfuse.data.cells.source import Limits
from polyfuse.data.cells.transform import Transform
from polyfuse.data.prepare import Broken, Prepared, Reading, prepare
from polyfuse.data.tables import Table
from polyfuse.data.weights import row_weights
from polyfuse.recipe import Recipe


def reading_of(recipe: Recipe, table: Table) -> Reading:
    """How the cells of a table are read under a recipe."""
    limits = Limits(**recipe.data.limits.model_dump())
    return Reading(root=table.root, limits=limits, max_broken=recipe.data.max_broken, origin=table.origin)


def columns_of(recipe: Recipe) -> dict[str, dict[str, str]]:
    """``in:NAME`` and ``out:NAME`` -> the columns they read, with their modality."""
    kinds = recipe.data.modalities
    inputs = {f"in:{n}": {c: kinds[c] for c in item.columns} for n, item in recipe.readers.items()}
    return inputs | {f"out:{n}": {o.column: o.head.name} for n, o in recipe.outputs.items()}


def prepare_all(
    recipe: Recipe, transforms: Mapping[str, Transform], table: Table, reading: Reading, *, targets: bool = True
) -> dict[str, Prepared]:
    """Every input's (and output's) cells of a table."""
    return {
        name: prepare(transforms[name], table.frame, columns, reading)
        for name, columns in columns_of(recipe).items()
        if targets or name.startswith("in:")
    }


def weights_of(recipe: Recipe, table: Table, rows: np.ndarray) -> np.ndarray | None:
    """The weight of each row of a table, checked in some rows; None where the recipe names no column of weights."""
    return None if recipe.data.weights is None else row_weights(table, recipe.data.weights, rows)


def summary(cells: Prepared, table: Table) -> list[str]:
    """One sentence per column with cells that could not be read: how many, and the first of them."""
    by_column: dict[str, list[Broken]] = {}
    for broken in cells.broken:
        by_column.setdefault(broken.column, []).append(broken)
    return [
        f"column {column!r}: {len(found):,} cells count as missing, they cannot be read; the first, "
        f"{table.origin(found[0].row)}: {_why(found[0])}"
        for column, found in by_column.items()
    ]


def _why(broken: Broken) -> str:
    """The reason, behind the name of the file where the reason does not have it."""
    named = broken.file is None or broken.file in broken.reason
    return broken.reason if named else f"{broken.file}: {broken.reason}"


def changes_of(recipe: Recipe, prepared: Mapping[str, Prepared]) -> dict[str, Augmentation]:
    """Reader -> its augmentation, where the recipe gives it one."""
    found = {
        n: augment.build(str(i.modality), i.augment, prepared[f"in:{n}"].transform) for n, i in recipe.readers.items()
    }
    return {name: change for name, change in found.items() if change is not None}


def rows_of(prepared: Mapping[str, Prepared], count: int, recipe: Recipe | None = None) -> Rows:
    """Prepared cells as rows that can be batched, without augmentation.

    Args:
        recipe: whose further views of a row are wanted; none otherwise.
    """
    sides: dict[str, dict[str, Prepared]] = {"in": {}, "out": {}}
    for key, cells in prepared.items():
        side, _, name = key.partition(":")
        sides[side][name] = cells
    several = recipe is not None and recipe.training.views > 1
    views = Views(recipe.training.views, changes_of(recipe, prepared)) if recipe and several else Views()
    return Rows(sides["in"], sides["out"], count, views=views)
