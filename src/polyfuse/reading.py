"""Reading a table as a recipe says: which columns each part reads, within which limits, prepared into rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyfuse.data import augment
from polyfuse.data.augment import Augmentation
from polyfuse.data.batches import Rows, Views
from polyfuse.data.cells.source import Limits
from polyfuse.data.cells.transform import Transform
from polyfuse.data.prepare import Broken, Prepared, Reading, prepare
from polyfuse.data.tables import Table, read_table
from polyfuse.recipe import Recipe


def reading_of(recipe: Recipe, table: Table, max_broken: float | None = None) -> Reading:
    """How the cells of a table are read under a recipe.

    Args:
        max_broken: share of a column's cells that may be unreadable; the recipe's by default.

    Raises:
        ValueError: that is no share.
    """
    if max_broken is not None and not 0 <= max_broken <= 1:
        raise ValueError(f"max_broken {max_broken}: expected a share of cells from 0 to 1")
    limits = Limits(**recipe.data.limits.model_dump())
    share = recipe.data.max_broken if max_broken is None else max_broken
    return Reading(root=table.root, limits=limits, max_broken=share, origin=table.origin, slots=recipe.data.slots)


def read_again(recipe: Recipe, table: Any, *, where: str | None = None, media_root: str | Path | None = None) -> Table:
    """A table, read as that of training was: its numbers and dates, and a row per entry of columns of lists."""
    read = read_table(table, media_root=media_root, where=where, formats=recipe.data.formats, decide=False)
    return read.exploded([name for name in recipe.data.explode if name in read.frame])


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


def summary(cells: Prepared, table: Table) -> list[str]:
    """How the cells are kept, where that is not as usual, and a sentence per column with cells that cannot be read."""
    by_column: dict[str, list[Broken]] = {}
    for broken in cells.broken:
        by_column.setdefault(broken.column, []).append(broken)
    return cells.notes + [
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
