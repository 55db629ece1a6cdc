"""Resolve a recipe on a table: infer columns, choose inputs and parts, split rows; no ``auto`` is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import pandas as pd

from polyfuse import registry
from polyfuse.contracts import WatchesValidation, offers
from polyfuse.data.cells.source import Limits
from polyfuse.data.cells.targets import to_json_label
from polyfuse.data.cells.transform import Transform
from polyfuse.data.inputs import InputRequest, exclusion_reasons, find_leaks, note_unused_columns, resolve_inputs
from polyfuse.data.media_lists import MOST
from polyfuse.data.modalities import Column, infer_columns, infer_output, is_prose
from polyfuse.data.splits import Splits, group_numbers, note_unusable_splits, split_rows
from polyfuse.data.tables import Table
from polyfuse.data.timeline import Timeline, make_timeline
from polyfuse.data.word_columns import WordLabels, find_words
from polyfuse.recipe import Recipe, RecipeError, defaults, parse
from polyfuse.recipe.companions import assign_companions
from polyfuse.recipe.outputs import check_head_columns, head_columns, outputs_without_scores, piecewise_columns
from polyfuse.recipe.placing import are_masks, find_head_picture, name_picture_inputs, reads_picture, separate_pictures
from polyfuse.recipe.presets import knows_before_training
from polyfuse.recipe.tagging import find_head_words, name_inputs, reads_words, separate_words
from polyfuse.recipe.timing import name_recordings
from polyfuse.recipe.validate import check_recipe

TOGETHER = "rows of one list"
PLURAL = ("tags", "events", "boxes", "masks")  # heads that a note calls so


class Start(Protocol):
    """An input of a saved model, from which one of ours starts (``init_from``)."""

    @property
    def modality(self) -> str: ...

    @property
    def encoder(self) -> dict[str, Any]: ...

    @property
    def transform(self) -> Transform: ...


NO_STARTS: Mapping[str, Start] = MappingProxyType({})


def resolve(
    recipe: Recipe, table: Table, splits: Splits | None = None, *, starts: Mapping[str, Start] = NO_STARTS
) -> tuple[Recipe, Splits, list[str]]:
    """The recipe without any ``auto``, the rows of each split, and notes on what was decided.

    Args:
        splits: instead of those that the recipe describes.
        starts: input -> the input of a saved model that its ``init_from`` names.

    Raises:
        TableError, RecipeError: a column, part or keyword that does not exist, or nothing to learn from.
    """
    named = {c: i.modality for i in recipe.inputs.values() for c in i.columns if i.modality not in (None, "columns")}
    columns = infer_columns(
        table, {**named, **recipe.data.modalities}, limits=Limits(**recipe.data.limits.model_dump())
    )
    if recipe.data.split is None and splits is None:
        recipe = recipe.model_copy(deep=True)
        recipe.data.split = next((name for name, column in columns.items() if column.role == "split"), None)
    check_decided(recipe, table)
    recipe, notes = _resolve_outputs(recipe, table, columns)
    check_head_columns(recipe, table)
    if recipe.data.folds is not None:
        unused = [name for name, column in columns.items() if column.role == "split"]
        notes += [f"column {name!r} names splits and is not used, as folds judge every row" for name in unused]
    recipe, said = _resolve_inputs(recipe, columns, starts, table.alike)
    made = recipe.data.split is None and recipe.data.folds is None
    notes = (note_unusable_splits(table.frame) if made else []) + notes + said
    splits = split_table(recipe, table) if splits is None else splits
    recipe, own = assign_companions(recipe, len(splits.train))
    recipe, said = defaults.fill_encoders(recipe, len(splits.train), table.frame)
    check_recipe(recipe)
    notes += own + said + _unheard(recipe)
    beside = head_columns(recipe)
    notes += [
        note
        for name, output in recipe.outputs.items()
        for note in find_leaks(table, dict.fromkeys([*_used_columns(recipe), *beside.get(name, [])]), output.column)
        if name not in piecewise_columns(recipe)  # a sentence goes with its tags, and is no answer
    ]
    notes += [
        f"input {name!r}: its encoder is random and frozen, so nothing of it is learnt" for name in _random(recipe)
    ]
    measuring = [o.name for o in recipe.extra_losses if offers(registry.objective(o.name), WatchesValidation)]
    if measuring and not len(splits.val):
        raise RecipeError(f"objective {measuring[0]} measures on validation rows, and there are none; give some")
    if recipe.ensemble.members is None and (recipe.fusion.name != "default" or recipe.preset == "plain"):
        recipe.ensemble.members = []  # who names a fusion wants that one to answer
    if recipe.ensemble.members is None and (alone := outputs_without_scores(recipe)):
        recipe.ensemble.members = []
        notes.append(f"no members answer beside the network, as output {alone[0]!r} has no scores to weigh them by")
    recipe = defaults.fill_sizes(recipe, len(splits.train), len(splits.val))
    check_recipe(recipe)  # again: the fusion has a name now
    return recipe, splits, [*table.notes, *notes, *splits.notes]


def _unheard(recipe: Recipe) -> list[str]:
    """A note per column of videos whose sound no input hears."""
    read = {
        modality: [c for i in recipe.inputs.values() if i.modality == modality for c in i.columns]
        for modality in ("video", "audio")
    }
    return [
        f"column {name!r}: pictures of its videos are seen, any sound is not heard; an input of its own hears it: "
        f"sound@{name}=audio"
        for name in read["video"]
        if name not in read["audio"]
    ]


def split_table(
    recipe: Recipe, table: Table, *, sides: np.ndarray | None = None, fractions: Sequence[float] | None = None
) -> Splits:
    """The rows of each split as a recipe says them; ``sides`` and ``fractions``, as of ``split_rows``, go before it."""
    frame, group = table.frame, recipe.data.group
    if recipe.data.explode and group is None:  # entries of one list stay together
        frame, group = frame.assign(**{TOGETHER: table.rows_N}), TOGETHER
    return split_rows(
        frame,
        column=recipe.data.split,
        group=group,
        stratify=next((o.column for o in recipe.outputs.values()), None),
        fractions=recipe.data.fractions if fractions is None else fractions,
        seed=recipe.training.seed,
        order=recipe.data.order,
        sides=sides,
        origin=table.origin,
    )


def row_groups(recipe: Recipe, table: Table) -> np.ndarray | None:
    """A number per row for its group, where the recipe names a column of groups or takes lists apart."""
    if recipe.data.group is None:
        return table.rows_N if recipe.data.explode else None
    return group_numbers(table.require(recipe.data.group))


def row_times(recipe: Recipe, table: Table) -> Timeline | None:
    """The time of each row, where the recipe names a column to order rows by."""
    if recipe.data.order is None:
        return None
    return make_timeline(table.require(recipe.data.order), row_groups(recipe, table), table.origin)


def _random(recipe: Recipe) -> list[str]:
    """Inputs with an encoder from scratch that is never trained."""
    frozen = [(n, i) for n, i in recipe.readers.items() if i.transfer == "frozen" and not i.init_from]
    return [n for n, i in frozen if not knows_before_training(i) or i.part.keywords.get("weights") == "random"]


def _used_columns(recipe: Recipe) -> list[str]:
    return [column for item in recipe.inputs.values() for column in item.columns]


def check_decided(recipe: Recipe, table: Table) -> None:
    """Refuse an order or weights whose cells can be read in two ways."""
    for what in ("order", "weights"):
        if undecided := table.undecided.get(name := getattr(recipe.data, what)):
            raise RecipeError(f"data.{what}: column {name!r} {undecided}")


def _resolve_outputs(recipe: Recipe, table: Table, columns: Mapping[str, Column]) -> tuple[Recipe, list[str]]:
    """Name every output's head."""
    values, notes = recipe.model_dump(mode="json"), []
    for name, output in values["outputs"].items():
        series = table.require(output["column"])
        if (undecided := table.undecided.get(output["column"])) and output["head"]["name"] in ("auto", "number"):
            raise RecipeError(f"output {name!r}: column {output['column']!r} {undecided}")
        if output["head"]["name"] == "auto":
            labelled = find_words(table.frame, output["column"])
            head, reason = ("tags", _describe_tags(labelled)) if labelled else infer_output(series)
            if head == "image" and (classes := are_masks(table, output["column"], columns)):
                head, reason = "masks", f"{classes} ({name}=image to make them as pictures)"
            if head not in registry.table_of("head"):
                known = ", ".join(registry.table_of("head"))
                raise RecipeError(f"output {name!r} holds {reason}: no head learns {head}; name one of {known}")
            if head == "text" and not is_prose(series):
                known = ", ".join(registry.table_of("head"))
                raise RecipeError(
                    f"output {name!r} holds {reason}: name a head, one of {known}; {name}=text writes such texts"
                )
            output["head"]["name"] = head
            reason += f" ({name}=category to learn them as classes)" if head == "text" else ""
            what = head if head in PLURAL else f"a {head}"
            notes.append(f"output {name!r} is {what}: {reason}")
        notes += find_head_words(name, output, table) if reads_words(output["head"]) else []
        notes += find_head_picture(name, output, recipe, table, columns) if reads_picture(output["head"]) else []
        notes += _order(name, output["head"], series)
    return parse(values), notes


def _describe_tags(found: WordLabels) -> str:
    """Why a column is one of tags."""
    what = "a label per word" if found.form == "tags" else "spans of characters"
    return f"{what} of column {found.words!r}, {found.kinds:,} different"


def _order(name: str, head: dict[str, Any], series: pd.Series) -> list[str]:
    """The order of an ordinal output that pandas declares, written into its head; or a hint that there is one."""
    declared = isinstance(series.dtype, pd.CategoricalDtype) and series.dtype.ordered
    if head["name"] == "ordinal" and head.get("order") is None and declared:
        head["order"] = [to_json_label(label) for label in series.cat.categories]
        return [
            f"output {name!r} goes from {head['order'][0]!r} to {head['order'][-1]!r}, as its categories are ordered"
        ]
    if head["name"] == "category" and declared:
        return [f"output {name!r} has ordered categories, which {name}=ordinal would learn as such"]
    return []


def _resolve_inputs(
    recipe: Recipe, columns: Mapping[str, Column], starts: Mapping[str, Start], alike: Sequence[Sequence[str]] = ()
) -> tuple[Recipe, list[str]]:
    """Name every input and its modality, taking every usable column where none are named; notes on what is left out."""
    values = recipe.model_dump(mode="json")
    requests = [InputRequest(n, tuple(i.columns), i.modality) for n, i in recipe.inputs.items() if i.columns]
    requests += [InputRequest(None, (column,)) for column in recipe.data.columns]
    outputs = [output.column for output in recipe.outputs.values()] + recipe.keys
    outputs += [name for group in alike if set(group) & set(outputs) for name in group if name not in outputs]
    data = recipe.data
    others = {"split": data.split, "group": data.group, "order": data.order, "weights": data.weights}
    same = set(piecewise_columns(recipe).values())  # inputs read the very same column
    beside = {column: name for name, own in head_columns(recipe).items() for column in own if column not in same}
    found = resolve_inputs(requests, columns, outputs=outputs, beside=beside, **others)
    for name in recipe.inputs:
        registry.choose(found, name, "input without columns")
    values["inputs"] = {
        name: {**values["inputs"].get(name, {}), "columns": list(names), "modality": modality}
        for name, (names, modality) in found.items()
    }
    separate_words(recipe, values)
    separate_pictures(recipe, values)
    for name, item in values["inputs"].items():
        if item.get("init_from"):
            _check_start(f"inputs.{name}", item, starts[name])
            item["modality"], item["encoder"] = starts[name].modality, starts[name].encoder
    used = [column for item in values["inputs"].values() for column in item["columns"]]
    values["data"]["modalities"] = {name: columns[name].modality for name in used}
    values["data"]["columns"] = []
    single = set(piecewise_columns(recipe).values())
    several = {c: min(MOST, columns[c].slots) for c in used if columns[c].slots > 1 and c not in single}
    values["data"]["slots"] = {**several, **values["data"]["slots"]}
    read = [*used, *outputs, *beside, *(name for name in others.values() if name is not None)]
    reasons = {} if requests else exclusion_reasons(columns, outputs=outputs, beside=beside, **others)
    return name_recordings(name_picture_inputs(name_inputs(parse(values)))), note_unused_columns(columns, read, reasons)


def _check_start(where: str, item: Mapping[str, Any], part: Start) -> None:
    """Check that an input agrees with the input of a saved model that it starts from.

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
