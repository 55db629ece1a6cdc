"""The recipe of a student: smaller than its teacher, or with fewer inputs, and never with others."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyfuse import registry
from polyfuse.data.tables import did_you_mean
from polyfuse.recipe import InputRecipe, Recipe, RecipeError, parse, presets
from polyfuse.recipe.build import parse_source

STEP = 8  # widths are multiples of it, which any number of heads up to that divides


def student_of(
    teacher: Recipe,
    student: str | Path | Mapping[str, Any] | Recipe | None = None,
    *,
    inputs: Sequence[str] = (),
    width: float = 0.5,
    depth: float = 1.0,
) -> Recipe:
    """The recipe of a student, still to be resolved.

    Args:
        teacher: the recipe of the model that it learns of.
        student: its own recipe, or the file of one; what that leaves open is the teacher's: columns, outputs, how rows
            are split. Without one it has the teacher's encoders from scratch, made narrower; in place of pretrained
            ones those that the preset ``plain`` takes.
        inputs: of the teacher's that it keeps, by name or by a column of theirs; all by default.
        width, depth: factors on the widths and the layers of a student without a recipe.

    Raises:
        RecipeError: it reads an input, a column or an output that the teacher lacks, or a factor is no share.
    """
    for name, factor in (("width", width), ("depth", depth)):
        if not 0 < factor <= 1:
            raise RecipeError(f"student: {name} {factor}: expected a factor above 0, up to 1")
    names = list(dict.fromkeys(_input(teacher, name) for name in inputs)) or list(teacher.inputs)
    if student is None:
        values = _smaller(teacher, {name: teacher.inputs[name] for name in names}, width, depth)
    else:
        made = parse(dict(student), "student") if isinstance(student, Mapping) else parse_source(student)[0]
        values = _given(made, teacher, names if inputs else [])
    values["data"] = _data(teacher, values["inputs"])
    return parse(values, "student")


def _input(teacher: Recipe, name: str) -> str:
    """The input of that name, or the one that reads the column of that name."""
    reading = [own for own, item in teacher.inputs.items() if name in item.columns]
    if name not in teacher.inputs and reading:
        return reading[0]
    registry.choose(teacher.inputs, name, "input of the teacher")
    return name


def _data(teacher: Recipe, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """How the table is read and split, as for the teacher."""
    columns = {column for item in inputs.values() for column in item["columns"]}
    data = teacher.data.model_dump(mode="json")
    data["modalities"] = {name: kind for name, kind in data["modalities"].items() if name in columns}
    return {**data, "columns": [], "folds": None}


def _smaller(teacher: Recipe, inputs: Mapping[str, InputRecipe], width: float, depth: float) -> dict[str, Any]:
    """The teacher's recipe with fewer inputs and narrower parts, and a network that answers alone."""
    assert isinstance(teacher.width, int)
    several = len(inputs) > 1
    return {
        "preset": "plain",
        "inputs": {
            name: {
                "columns": item.columns,
                "modality": item.modality,
                "encoder": _narrower(item, width, depth),
                "augment": item.augment,
            }
            for name, item in inputs.items()
        },
        "outputs": {name: output.model_dump(mode="json") for name, output in teacher.outputs.items()},
        "fusion": {"name": teacher.fusion.name if several else "concat"},
        "width": _scaled(teacher.width, width),
        "training": {"seed": teacher.training.seed, "missing": teacher.training.missing},
    }


def _narrower(item: InputRecipe, width: float, depth: float) -> dict[str, Any]:
    """An encoder from scratch of an input, narrower than the teacher's, or than it is by default."""
    own = next((part for part in item.encoders if part.name not in presets.KNOWING | presets.FIXED), None)
    modality = str(item.modality)
    name = own.name if own is not None else presets.SCRATCH[modality]
    said = dict(own.keywords) if own is not None else {}
    takes = inspect.signature(registry.encoder(modality, name)).parameters
    for keyword, factor, scaled in (("width", width, _scaled), ("depth", depth, _fewer)):
        size = said.get(keyword, takes[keyword].default if keyword in takes else None)
        if isinstance(size, int):
            said[keyword] = scaled(size, factor)
    return {"name": name, **said}


def _scaled(size: int, factor: float) -> int:
    return min(size, max(STEP, STEP * round(size * factor / STEP)))


def _fewer(size: int, factor: float) -> int:
    return max(min(size, 1), round(size * factor))


def _given(student: Recipe, teacher: Recipe, names: Sequence[str]) -> dict[str, Any]:
    """A recipe of somebody's own, completed by the teacher's and held against it."""
    values = student.model_dump(mode="json")
    if names:
        values["inputs"] = {name: values["inputs"].get(name, {}) for name in names}
    if not values["inputs"]:
        values["inputs"] = {name: {} for name in teacher.inputs}
    read = {column: name for name, item in teacher.inputs.items() for column in item.columns}
    for name, item in values["inputs"].items():
        if not item.get("columns"):
            like = registry.choose(teacher.inputs, name, "input of the teacher")
            item |= {"columns": like.columns, "modality": item.get("modality") or like.modality}
        for column in item["columns"]:
            if column not in read:
                raise RecipeError(
                    f"student: input {name!r} reads column {column!r}, which the teacher does not"
                    f"{did_you_mean(column, read)}; its columns: {', '.join(read)}"
                )
        item["modality"] = item.get("modality") or teacher.inputs[read[item["columns"][0]]].modality
    own = values["outputs"]
    for name, output in own.items():
        like = registry.choose(teacher.outputs, name, "output of the teacher")
        if output["column"] != like.column or output["head"]["name"] not in ("auto", like.head.name):
            raise RecipeError(
                f"student: output {name!r} is {output['head']['name']} in {output['column']!r}, and the teacher's is "
                f"{like.head.name} in {like.column!r}; leave the outputs out to take those"
            )
    values["outputs"] = {
        name: output.model_dump(mode="json") for name, output in teacher.outputs.items() if not own or name in own
    }
    return values
