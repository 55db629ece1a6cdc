"""Prepare the cells of a table for the parts of a recipe: columns, limits, rows and notes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse import registry
from polyfuse.data import augment
from polyfuse.data.augment import Augmentation
from polyfuse.data.batches import Rows, Views
from polyfuse.data.cells.source import UNREAD, Limits
from polyfuse.data.cells.transform import Transform
from polyfuse.data.modalities import missing_mask
from polyfuse.data.prepare import BrokenCell, Prepared, Reading, prepare
from polyfuse.data.recordings import drop_beyond
from polyfuse.data.tables import Table, read_table
from polyfuse.data.truncation import count_truncated
from polyfuse.data.weights import row_weights
from polyfuse.errors import format_count
from polyfuse.recipe import Recipe
from polyfuse.recipe.outputs import head_columns, own_spec, picture_columns, picture_readers, word_columns
from polyfuse.recipe.timing import timed_columns


def read_options(recipe: Recipe, table: Table, max_broken: float | None = None) -> Reading:
    """Options for reading the cells of a table under a recipe.

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


def reread_table(
    recipe: Recipe, table: Any, *, where: str | None = None, media_root: str | Path | None = None
) -> Table:
    """Read a table as that of training was: its numbers and dates, and a row per entry of columns of lists."""
    read = read_table(table, media_root=media_root, where=where, formats=recipe.data.formats, decide=False)
    return read.exploded([name for name in recipe.data.explode if name in read.frame])


def columns_of(recipe: Recipe) -> dict[str, dict[str, str]]:
    """``in:NAME`` and ``out:NAME`` -> the columns they read, with their modality; ``own:NAME`` -> those of its head."""
    kinds = recipe.data.modalities
    inputs = {f"in:{n}": {c: kinds[c] for c in item.columns} for n, item in recipe.readers.items()}
    beside = {n: {column: "text"} for n, column in word_columns(recipe).items()}  # tags are read with their words
    beside |= {
        n: {column: "image"} for n, column in picture_columns(recipe).items()
    }  # places with their picture's size
    outputs = {f"out:{n}": {o.column: o.head.name, **beside.get(n, {})} for n, o in recipe.outputs.items()}
    return inputs | outputs | {f"own:{n}": dict.fromkeys(c, "text") for n, c in head_columns(recipe).items()}


def prepare_all(
    recipe: Recipe,
    transforms: Mapping[str, Transform],
    table: Table,
    reading: Reading,
    *,
    targets: bool = True,
    heads: bool = True,
) -> dict[str, Prepared]:
    """Every input's cells of a table.

    Args:
        targets: those of outputs as well.
        heads: those of columns that heads read themselves as well; not where nothing is to be answered.
    """
    wanted = ("in", *(("out",) if targets else ()), *(("own",) if heads else ()))
    made = {
        name: prepare(transforms.get(name) or _own_transform(recipe, name), table.frame, columns, reading)
        for name, columns in columns_of(recipe).items()
        if name.partition(":")[0] in wanted
    }
    for output, (media, kind) in timed_columns(recipe).items() if targets else ():
        column = recipe.outputs[output].column
        if media in table.frame:
            drop_beyond(made[f"out:{output}"], table.frame, column, media, kind, reading)
    return made


def _own_transform(recipe: Recipe, name: str) -> Any:
    """The transform of columns that a head reads itself (``own:OUTPUT``), which nothing is fitted for."""
    spec = own_spec(recipe, name[4:])
    return registry.transform(spec.transform)(**spec.keywords)


def sample_weights(recipe: Recipe, table: Table, rows: np.ndarray) -> np.ndarray | None:
    """The weight of each row of a table, checked in some rows; None where the recipe names no column of weights."""
    return None if recipe.data.weights is None else row_weights(table, recipe.data.weights, rows)


def summary(cells: Prepared, table: Table) -> list[str]:
    """How the cells are kept, where that is not as usual; and a sentence per column with cells that could not be read,
    or categories that are not known: how many, and the first of them.
    """
    by_column: dict[str, list[BrokenCell]] = {}
    for broken in cells.broken:
        by_column.setdefault(broken.column, []).append(broken)
    return (
        cells.notes
        + [
            f"column {column!r}: {format_count(len(found), *UNREAD)} cannot be read; the first, "
            f"{table.origin(found[0].row)}: {_explain_broken(found[0])}"
            for column, found in by_column.items()
        ]
        + note_unseen_values(cells, table)
    )


def prediction_notes(prepared: Mapping[str, Prepared], table: Table) -> list[str]:
    """Notes of a prediction on its table: cells not read, categories not known, rows with nothing in any input."""
    notes = list(dict.fromkeys(note for cells in prepared.values() for note in summary(cells, table)))
    return notes + note_blank_rows(prepared, table) + note_missing_prompts(prepared, table)


def note_unseen_values(cells: Prepared, table: Table) -> list[str]:
    """One sentence per column with categories that training did not show, loud where it showed none of them."""
    by_column: dict[str, list[tuple[int, Any]]] = {}
    for row, column, value in cells.unseen:
        by_column.setdefault(column, []).append((row, value))
    return [_unseen(column, found, table) for column, found in by_column.items()]


def _unseen(column: str, found: list[tuple[int, Any]], table: Table) -> str:
    present, (row, value) = int((~missing_mask(table.frame[column])).sum()), found[0]
    first = f"{str(value)[:60]!r} in {table.origin(row)}"
    if len(found) == present:
        return (
            f"WARNING: column {column!r}: not one of its {present:,} values was seen in training (the first: {first}), "
            "so that the column says nothing; look how its values are written"
        )
    return (
        f"column {column!r}: {len(found):,} of {format_count(present, 'value')} "
        f"{'was' if len(found) == 1 else 'were'} not seen in training and are all read alike; "
        f"the first: {first}"
    )


def note_blank_rows(prepared: Mapping[str, Prepared], table: Table) -> list[str]:
    """A sentence on rows with nothing in any input."""
    inputs = [cells.index_RK for name, cells in prepared.items() if not name.startswith("out:")]
    if not inputs:
        return []
    blank = np.flatnonzero(~np.any([(index_RK >= 0).any(1) for index_RK in inputs], axis=0))
    if not len(blank):
        return []
    said = "has nothing in any input" if len(blank) == 1 else "have nothing in any input, and all get one answer"
    rows = format_count(len(table), "row")
    return [f"{len(blank):,} of {rows} {said}; the first: {table.origin(int(blank[0]))}"]


def note_missing_prompts(prepared: Mapping[str, Prepared], table: Table) -> list[str]:
    """A sentence per output whose head reads columns itself, on the rows that miss a cell of these."""
    notes = []
    for name, cells in prepared.items():
        if not name.startswith("own:"):
            continue
        empty_U = np.array([*(len(cell) == 0 for cell in cells.cells), True])  # the last one stands for missing cells
        if len(gone := np.flatnonzero(empty_U[cells.index_RK].any(1))):
            notes.append(
                f"output {name[4:]!r}: {len(gone):,} of {format_count(len(table), 'row')} "
                f"{'misses' if len(gone) == 1 else 'miss'} a cell that its head reads itself, "
                f"and nothing stands in its place; the first: {table.origin(int(gone[0]))}"
            )
    return notes


def note_missing_targets(prepared: Mapping[str, Prepared], table: Table, sides: Mapping[str, np.ndarray]) -> list[str]:
    """One sentence per output with rows that have no target: how many, and where they stand.

    Args:
        sides: what the rows do, such as ``train`` -> row numbers.
    """
    notes = []
    for name, cells in prepared.items():
        if not name.startswith("out:"):
            continue
        gone = cells.index_RK[:, 0] < 0
        gone[[broken.row for broken in cells.broken]] = False  # they are named one by one
        counts = {side: int(gone[rows].sum()) for side, rows in sides.items()}
        total, rows = sum(counts.values()), sum(map(len, sides.values()))
        where = ", ".join(f"{count:,} {side}" for side, count in counts.items() if count and side)
        if total:
            first = next(int(row) for numbers in sides.values() for row in numbers if gone[row])
            notes.append(
                f"output {name[4:]!r}: {total:,} of {format_count(rows, 'row')} "
                f"{'has' if total == 1 else 'have'} no target{f' ({where})' if where else ''} and "
                f"{'is' if total == 1 else 'are'} left out; the first: {table.origin(first)}"
            )
    return notes


def note_truncated(
    recipe: Recipe, prepared: Mapping[str, Prepared], table: Table, rows: np.ndarray, reading: Reading
) -> list[str]:
    """One sentence per column with cells in some rows that are longer than what is read of them, and how to read more.

    Args:
        prepared: cells as their transforms made them.
        rows: row numbers of the training rows.
    """
    notes, characters = [], dict[str, str]()
    by_reader = {reader: name for name, own in recipe.reads.items() for reader in own}
    for key, columns in columns_of(recipe).items():
        for cut in count_truncated(prepared[key], table.frame, columns, rows, reading) if key.startswith("in:") else []:
            name, encoder = by_reader[key[3:]], recipe.readers[key[3:]].part.name
            transform: Any = prepared[key].transform
            if cut.cells:
                about, more = "" if cut.exact else "about ", _how_to_read_more(recipe, name, encoder, transform)
                notes.append(
                    f"column {cut.column!r}: {about}{cut.cells:,} of {cut.present:,} training cells are longer than "
                    f"{transform.window}, and {encoder} reads no more of them; {more}"
                )
            if cut.characters:
                characters[cut.column] = (
                    f"column {cut.column!r}: {cut.characters:,} of {cut.present:,} training cells have more than "
                    f"{reading.limits.characters:,} characters, and no more of them is read; raise "
                    "data.limits.characters to read more"
                )
    return notes + list(characters.values())


def _how_to_read_more(recipe: Recipe, name: str, encoder: str, transform: Any) -> str:
    """Explain how to read more of a cell."""
    if recipe.inputs[name].init_from:
        return f"that is set by the model that input {name!r} starts from"
    if len(recipe.inputs[name].encoders) > 1:
        return f"raise {transform.keyword} of {encoder} in the recipe's inputs.{name}.encoder to read more"
    return f"raise inputs.{name}.encoder.{transform.keyword} to read more"


def _explain_broken(broken: BrokenCell) -> str:
    """The reason, behind the name of the file where the reason does not have it."""
    named = broken.file is None or broken.file in broken.reason
    return broken.reason if named else f"{broken.file}: {broken.reason}"


def augmentations(recipe: Recipe, prepared: Mapping[str, Prepared]) -> dict[str, Augmentation]:
    """Reader -> its augmentation, where the recipe gives it one."""
    placed = set(picture_readers(recipe).values())  # what is learnt of places has to move with the picture
    found = {
        n: augment.build(str(i.modality), i.augment, prepared[f"in:{n}"].transform, placed=n in placed)
        for n, i in recipe.readers.items()
    }
    return {name: change for name, change in found.items() if change is not None}


def make_rows(prepared: Mapping[str, Prepared], count: int, recipe: Recipe | None = None) -> Rows:
    """Prepared cells as rows that can be batched, without augmentation.

    Args:
        recipe: whose further views of a row are wanted; none otherwise.
    """
    sides: dict[str, dict[str, Prepared]] = {"in": {}, "out": {}, "own": {}}
    for key, cells in prepared.items():
        side, _, name = key.partition(":")
        sides[side][name] = cells
    several = recipe is not None and recipe.training.views > 1
    views = Views(recipe.training.views, augmentations(recipe, prepared)) if recipe and several else Views()
    return Rows(sides["in"], sides["out"], count, views=views, own=sides["own"])
