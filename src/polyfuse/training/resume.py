"""Going on after an interruption: the same recipe, the steps that a time budget fixed, and no other run's weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from polyfuse.recipe import Recipe, RecipeError, parse, read_recipe

CHECKPOINT = "last.ckpt"
EVENTS = "tensorboard"
FREE = ("data.table", "data.media_root", "training.time", "training.checkpoint", "training.workers")
"""What may differ between a run and its continuation: it changes nothing that is learned."""


def begun(recipe: Recipe, run: Path, resume: bool) -> tuple[Recipe, list[str]]:
    """The recipe to train in a run's folder, and notes.

    Args:
        recipe: complete.
        resume: go on from the folder's checkpoint; without it an older run's checkpoint and event files are removed,
            so that neither a later resumption nor TensorBoard takes them for this run's.

    Raises:
        RecipeError: the run was begun with another recipe, so that its checkpoint belongs to another model.
    """
    if not resume:
        (run / CHECKPOINT).unlink(missing_ok=True)
        shutil.rmtree(run / EVENTS, ignore_errors=True)
        return recipe, []
    notes = [] if (run / CHECKPOINT).exists() else [f"{run} holds no checkpoint to go on from: trained from the start"]
    if not (run / "recipe.yaml").exists():
        return recipe, notes
    before = read_recipe(run)
    if recipe.training.time is not None:  # measured already: another number would be another schedule
        values = recipe.model_dump(mode="json")
        values["training"].update(steps=before.training.steps, time=None)
        recipe = parse(values)
    old, new = (dict(_flat(r.model_dump(mode="json"))) for r in (before, recipe))
    other = [key for key in {**old, **new} if key not in FREE and old.get(key) != new.get(key)]
    if other and not notes:
        shown = ", ".join(f"{key} was {old.get(key)!r} and is {new.get(key)!r}" for key in other[:3])
        raise RecipeError(f"{run} was begun with another recipe: {shown}; give the same again, or leave resume out")
    return recipe, notes


def steps_taken(checkpoint: Path) -> int:
    """Training steps behind a checkpoint."""
    return int(torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)["global_step"])


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names -> values of a recipe."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
