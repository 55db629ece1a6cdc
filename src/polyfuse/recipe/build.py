"""Build a recipe and read its table from the arguments of ``fit`` and ``compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyfuse import registry
from polyfuse.data.archives import is_url, local_path
from polyfuse.data.inputs import InputRequest, modality_overrides, parse_input
from polyfuse.data.names import as_name_list, partition_unquoted, unquote
from polyfuse.data.tables import Table, read_table
from polyfuse.recipe import Recipe, RecipeError, apply_settings, parse, read_recipe, suggest_name
from polyfuse.system.lazy import LazyModule

if TYPE_CHECKING:
    from polyfuse.recipe import outputs as beside
else:  # heads need torch
    beside = LazyModule("polyfuse.recipe.outputs")

Names = str | Sequence[str]
"""One name, or several."""
Settings = str | Sequence[str] | Mapping[str, Any]
"""``FIELD=VALUE``, several of them, or fields and their values."""


def build_recipe(
    source: Any,
    table: Any,
    *,
    settings: Settings = (),
    **arguments: Any,
) -> tuple[Recipe, Table]:
    """Build the recipe of all arguments, and read its table.

    Args:
        source: a table, a ``Recipe``, a recipe's path, or a saved model's folder.
        table: instead of the recipe's own.
        settings: ``FIELD=VALUE`` of the recipe, or a dict of fields.
        arguments: see ``apply_arguments``.
    """
    recipe, own = parse_source(source)
    recipe = apply_arguments(recipe, **arguments)
    if settings:
        recipe = apply_settings(recipe, settings if isinstance(settings, Mapping) else as_name_list(settings))
    source = choose_table(recipe, own, table)
    formats = {**dict.fromkeys(_columns_without_numbers(recipe), "point"), **recipe.data.formats}
    read = read_table(source, media_root=recipe.data.media_root, where=recipe.data.where, formats=formats)
    recipe.data.formats.update({c: f for c, f in read.formats.items() if f != "point"})  # type: ignore[misc]
    if recipe.data.split is None and read.split is not None and recipe.data.folds is None:
        recipe.data.split = read.split
    return recipe, read.exploded(recipe.data.explode)


def _columns_without_numbers(recipe: Recipe) -> list[str]:
    """Columns that are said to hold something other than numbers and dates: in labels, ``3,5`` is 3 and 5."""
    kinds = {c: i.modality for i in recipe.inputs.values() for c in i.columns} | dict(recipe.data.modalities)
    inputs = [c for c, modality in kinds.items() if modality not in (None, "columns", "number", "date")]
    named = {*kinds, *recipe.data.columns}  # what a head alone reads stays as it is written
    inputs += [c for columns in beside.head_columns(recipe).values() for c in columns if c not in named]
    return inputs + [o.column for o in recipe.outputs.values() if o.head.name not in ("auto", "number")]


def parse_source(source: Any) -> tuple[Recipe, Any]:
    """Parse the source: the recipe to start from, and the table where the source is one."""
    if isinstance(source, Recipe):
        return source.model_copy(deep=True), None
    if isinstance(source, (str, Path)) and (Path(source).is_dir() or Path(source).suffix in (".yaml", ".yml")):
        return read_recipe(source), None
    return parse({"data": {"table": _paths(source)}}), source


def _paths(source: Any) -> list[str]:
    """The files of a table, for the recipe that is saved; none where it is not read from files, or from a dict."""
    files = list(source) if isinstance(source, (list, tuple)) else [source]
    named = all(isinstance(f, (str, Path)) and not is_url(f) for f in files)
    return [str(local_path(f).resolve()) for f in files] if named else []


def choose_table(recipe: Recipe, own: Any, given: Any) -> Any:
    """Choose the table to read: the one given, else the source itself, else the one that the recipe names."""
    if given is not None:
        recipe.data.table = _paths(given) or recipe.data.table
        return given
    if own is not None:
        return own
    if not recipe.data.table:
        raise ValueError("the recipe names no table: give one with --table")
    return recipe.data.table if len(recipe.data.table) > 1 else recipe.data.table[0]


def apply_arguments(
    recipe: Recipe,
    *,
    outputs: Names = (),
    inputs: Names = (),
    fusion: str | None = None,
    split: str | None = None,
    group: str | None = None,
    order: str | None = None,
    folds: int | None = None,
    weights: str | None = None,
    weighted_metrics: bool = False,
    where: str | None = None,
    media_root: str | Path | None = None,
    time: str | float | None = None,
    seed: int | None = None,
    preset: str | None = None,
    align: Sequence[str] = (),
) -> Recipe:
    """The recipe with every argument that was given; what they mean is said at ``api.fit``."""
    values = recipe.model_dump(mode="json")
    root = None if media_root is None else str(Path(media_root).expanduser().resolve())  # a saved recipe moves
    given: dict[str, Any] = {"split": _name(split), "group": _name(group), "where": where, "media_root": root}
    given |= {"order": _name(order), "weights": _name(weights), "folds": folds}
    given["weighted_metrics"] = weighted_metrics or None
    values["data"].update({key: value for key, value in given.items() if value is not None})
    values["training"].update({k: v for k, v in {"time": time, "seed": seed}.items() if v is not None})
    if time is not None:
        values["training"]["steps"] = "auto"
    if fusion is not None:
        values["fusion"] = fusion
    if preset is not None:
        if recipe.preset not in ("auto", preset):
            raise RecipeError(
                f"--preset {preset}: the recipe was made with preset {recipe.preset}, which its encoders are of; leave "
                "the preset out, or begin with a recipe that names no encoders"
            )
        values["preset"] = preset
    if heads := dict(map(_parse_output, as_name_list(outputs))):
        values["outputs"] = {column: {"column": column, "head": head or "auto"} for column, head in heads.items()}
    if align:
        names = [name.strip() for text in as_name_list(align) for name in text.split(",")]
        values["objectives"] = [{"name": "clip", "between": names}]
    if requests := [parse_input(text) for text in as_name_list(inputs)]:
        _take_inputs(values, requests)
    return parse(values, "arguments")


def _name(column: Any) -> str | None:
    return None if column is None else str(column)


def _parse_output(text: str) -> tuple[str, str]:
    """The column and head of ``COL`` or ``COL=HEAD``; a column whose name holds ``=`` stands between double quotes."""
    column, _, head = partition_unquoted(text, "=")
    known = registry.table_of("head")
    if head.strip() not in ("", "auto", *known) and not registry.is_address(head):
        hint = suggest_name(head.strip(), list(known))
        raise RecipeError(
            f"output {text!r}: unknown head {head.strip()!r}{hint}; a column whose name holds '=' goes between double "
            "quotes"
        )
    return unquote(column), head.strip()


def _take_inputs(values: dict[str, Any], requests: Sequence[InputRequest]) -> None:
    """Put the command line's inputs in place of the recipe's; loose columns are gathered later, by modality."""
    values["inputs"], values["data"]["columns"] = {}, []
    for request in requests:
        name = request.name or (request.columns[0] if request.encoder else None)
        if name is None:
            values["data"]["columns"] += request.columns
            continue
        part = {"encoder": request.encoder} if request.encoder else {}
        values["inputs"][name] = {"columns": list(request.columns), "modality": request.modality, **part}
    values["data"]["modalities"].update(modality_overrides(requests))
