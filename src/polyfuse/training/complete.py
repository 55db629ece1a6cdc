"""A recipe without any ``auto``: columns understood, inputs gathered, parts chosen, rows split, each with notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyfuse import bundle as bundles
from polyfuse import defaults, registry
from polyfuse.checks import check
from polyfuse.contracts import WatchesValidation, offers
from polyfuse.data.cells.source import Limits
from polyfuse.data.inputs import InputRequest, exclusions, leaks, left_out, resolve_inputs
from polyfuse.data.modalities import Column, infer, infer_output
from polyfuse.data.several import MOST
from polyfuse.data.splits import Splits, no_splits, split_rows
from polyfuse.data.tables import Table
from polyfuse.presets import knows
from polyfuse.recipe import Recipe, RecipeError, parse

TOGETHER = "rows of one list"


def complete(recipe: Recipe, table: Table) -> tuple[Recipe, Splits, list[str]]:
    """The recipe without any ``auto``, the rows of each split, and notes on what was decided.

    Raises:
        TableError, RecipeError: a column, part or keyword that does not exist, or nothing to learn from.
    """
    named = {c: i.modality for i in recipe.inputs.values() for c in i.columns if i.modality not in (None, "columns")}
    columns = infer(table, {**named, **recipe.data.modalities}, limits=Limits(**recipe.data.limits.model_dump()))
    if recipe.data.split is None:
        recipe = recipe.model_copy(deep=True)
        recipe.data.split = next((name for name, column in columns.items() if column.role == "split"), None)
    recipe, notes = _with_outputs(recipe, table)
    recipe, said = _with_inputs(recipe, columns)
    notes = (no_splits(table.frame) if recipe.data.split is None else []) + notes + said
    splits = _split(recipe, table)
    recipe, said = defaults.encoders(recipe, len(splits.train))
    check(recipe)
    notes += said
    notes += [note for o in recipe.outputs.values() for note in leaks(table, _used(recipe), o.column)]
    notes += [
        f"input {name!r}: its encoder is random and frozen, so nothing of it is learnt" for name in _random(recipe)
    ]
    measuring = [o.name for o in recipe.extra_losses if offers(registry.objective(o.name), WatchesValidation)]
    if measuring and not len(splits.val):
        raise RecipeError(f"objective {measuring[0]} measures on validation rows, and there are none; give some")
    if recipe.ensemble.members is None and (recipe.fusion.name != "default" or recipe.preset == "plain"):
        recipe.ensemble.members = []  # who names a fusion wants that one to answer
    recipe = defaults.sizes(recipe, len(splits.train), len(splits.val))
    check(recipe)  # again: the fusion has a name now
    return recipe, splits, [*table.notes, *notes, *splits.notes]


def _split(recipe: Recipe, table: Table) -> Splits:
    frame, group = table.frame, recipe.data.group
    if recipe.data.explode and group is None:  # entries of one list stay together
        frame, group = frame.assign(**{TOGETHER: table.rows_N}), TOGETHER
    return split_rows(
        frame,
        column=recipe.data.split,
        group=group,
        stratify=next((o.column for o in recipe.outputs.values()), None),
        fractions=recipe.data.fractions,
        seed=recipe.training.seed,
    )


def _random(recipe: Recipe) -> list[str]:
    """Inputs with an encoder from scratch that is never trained."""
    frozen = [(n, i) for n, i in recipe.readers.items() if i.transfer == "frozen" and not i.init_from]
    return [n for n, i in frozen if not knows(i) or i.part.keywords.get("weights") == "random"]


def _used(recipe: Recipe) -> list[str]:
    return [column for item in recipe.inputs.values() for column in item.columns]


def _with_outputs(recipe: Recipe, table: Table) -> tuple[Recipe, list[str]]:
    """Name every output's head."""
    values, notes = recipe.model_dump(mode="json"), []
    for name, output in values["outputs"].items():
        series = table.require(output["column"])
        if (undecided := table.undecided.get(output["column"])) and output["head"]["name"] in ("auto", "number"):
            raise RecipeError(f"output {name!r}: column {output['column']!r} {undecided}")
        if output["head"]["name"] == "auto":
            head, reason = infer_output(series)
            if head not in registry.table_of("head"):
                known = ", ".join(registry.table_of("head"))
                raise RecipeError(f"output {name!r} holds {reason}: no head learns {head}; name one of {known}")
            output["head"]["name"] = head
            notes.append(f"output {name!r} is a {head}: {reason}")
    return parse(values), notes


def _with_inputs(recipe: Recipe, columns: Mapping[str, Column]) -> tuple[Recipe, list[str]]:
    """Name every input and its modality, taking every usable column where none are named; notes on what is left out."""
    values = recipe.model_dump(mode="json")
    requests = [InputRequest(n, tuple(i.columns), i.modality) for n, i in recipe.inputs.items() if i.columns]
    requests += [InputRequest(None, (column,)) for column in recipe.data.columns]
    outputs = [output.column for output in recipe.outputs.values()] + recipe.keys
    sides: dict[str, Any] = {"outputs": outputs, "split": recipe.data.split, "group": recipe.data.group}
    found = resolve_inputs(requests, columns, **sides)
    for name in recipe.inputs:
        registry.choose(found, name, "input without columns")
    values["inputs"] = {
        name: {**values["inputs"].get(name, {}), "columns": list(names), "modality": modality}
        for name, (names, modality) in found.items()
    }
    for name, item in values["inputs"].items():
        if item.get("init_from"):
            part = bundles.read_input(item["init_from"])
            _check_start(f"inputs.{name}", item, part)
            item["modality"], item["encoder"] = part.modality, part.encoder
    used = [column for item in values["inputs"].values() for column in item["columns"]]
    values["data"]["modalities"] = {name: columns[name].modality for name in used}
    values["data"]["columns"] = []
    several = {c: min(MOST, columns[c].slots) for c in used if columns[c].slots > 1}
    values["data"]["slots"] = {**several, **values["data"]["slots"]}
    read = [*used, *outputs, *(name for name in (recipe.data.split, recipe.data.group) if name is not None)]
    return parse(values), left_out(columns, read, {} if requests else exclusions(columns, **sides))


def _check_start(where: str, item: Mapping[str, Any], part: bundles.Part) -> None:
    """What an input asks for must agree with the input of another model that it starts from.

    Raises:
        RecipeError: another modality, other columns, or an encoder that the start would silently replace.
    """
    start, modality, own = item["init_from"], item["modality"], item.get("encoder") or {}
    if modality != part.modality and not {modality, part.modality} <= {"text", "columns"}:
        names = ", ".join(item["columns"])
        raise RecipeError(f"{where}: {start} reads {part.modality}, and {names} holds {modality}; name another input")
    found, read = list(item["columns"]), list(getattr(part.transform, "names", item["columns"]))
    if part.transform.joint and found != read:
        raise RecipeError(f"{where}.columns: {start} reads {', '.join(read)} in this order, found {', '.join(found)}")
    # paths of checkpoints and how their weights come are the start's own business
    asked = {key: value for key, value in own.items() if key not in ("path", "weights") and value != "auto"}
    if other := {key: value for key, value in asked.items() if part.encoder.get(key, value) != value}:
        shown = ", ".join(f"{key} {part.encoder[key]!r}, not {value!r}" for key, value in other.items())
        raise RecipeError(f"{where}.encoder: {start} has {shown}; leave the encoder out to take that one")
