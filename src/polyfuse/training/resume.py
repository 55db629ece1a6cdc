"""Resumes an interrupted training: checks the recipe, restores measured steps and finished networks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from polyfuse.recipe import Recipe, RecipeError, parse, read_recipe

CHECKPOINT = "last.ckpt"
DONE = "done.ckpt"  # of a network that came to its end, while others of the same run still train
EVENTS = "tensorboard"
METRICS = "metrics.csv"
NETWORK = "network_"  # folders of the networks of a run that trains several
FREE = ("data.table", "data.media_root", "training.time", "training.checkpoint", "training.workers", "training.loggers")
"""What may differ between a run and its continuation: it changes nothing that is learned."""


def start_or_resume(recipe: Recipe, run: Path, resume: bool) -> tuple[Recipe, list[str]]:
    """Start a run in its folder or resume it: the recipe to train, and notes.

    Args:
        recipe: complete.
        resume: go on from the folder's checkpoint; without it an older run's checkpoint and event files are removed,
            so that neither a later resumption nor TensorBoard takes them for this run's.

    Raises:
        RecipeError: the run was begun with another recipe, so that its checkpoint belongs to another model.
    """
    if not resume:
        (run / CHECKPOINT).unlink(missing_ok=True)
        (run / METRICS).unlink(missing_ok=True)
        shutil.rmtree(run / EVENTS, ignore_errors=True)
        remove_finished(run)
        return recipe, []
    notes = [] if can_resume(run) else [f"{run} holds no checkpoint to go on from: trained from the start"]
    if not (run / "recipe.yaml").exists():
        return recipe, notes
    before = read_recipe(run / "recipe.yaml")
    if recipe.training.time is not None:  # measured already: another number would be another schedule
        values = recipe.model_dump(mode="json")
        values["training"].update(steps=before.training.steps, time=None)
        recipe = parse(values)
    old, new = (dict(_flatten(r.model_dump(mode="json"))) for r in (before, recipe))
    other = [key for key in {**old, **new} if key not in FREE and old.get(key) != new.get(key)]
    if other and not notes:
        shown = ", ".join(f"{key} was {old.get(key)!r} and is {new.get(key)!r}" for key in other[:3])
        raise RecipeError(f"{run} was begun with another recipe: {shown}; give the same again, or leave resume out")
    return recipe, notes


def can_resume(run: Path | None) -> bool:
    """Whether a run's folder holds anything from which ``resume`` would go on."""
    if run is None:
        return False
    own = [run, *(one for one in run.glob(f"{NETWORK}*") if one.is_dir())]
    return any((one / name).exists() for one in own for name in (CHECKPOINT, DONE))


def resume_hint(run: Path | None, every: float) -> str:
    """Tell a user who interrupts a training how to resume it, where that is possible.

    Args:
        every: least seconds between two checkpoints.
    """
    if run is None:
        return "to go on from where it was, give a folder (to=...)"
    if can_resume(run):
        return f"go on with: polyfuse fit {run} --resume --to {run.with_suffix('')}"
    return (
        f"no checkpoint had been written yet (at ends of epochs, at most one in {every:g} s), so there is nothing to "
        "resume from: the same call begins again"
    )


def remove_finished(run: Path) -> None:
    """Remove what single networks of a run left."""
    for one in run.glob(f"{NETWORK}*"):
        shutil.rmtree(one, ignore_errors=True)


def save_finished(run: Path, network: nn.Module, facts: Mapping[str, Any]) -> None:
    """Keep a network that came to its end, so that a continuation goes on with the next one."""
    fresh = run / f"{DONE}.new"
    torch.save({"weights": network.state_dict(), "facts": dict(facts)}, fresh)
    fresh.replace(run / DONE)


def load_finished(run: Path, network: nn.Module) -> dict[str, Any] | None:
    """Give a network the weights that it came to its end with, and return the facts; None where it did not."""
    if not (run / DONE).exists():
        return None
    kept = torch.load(run / DONE, map_location="cpu", weights_only=True)
    network.load_state_dict(kept["weights"])
    return kept["facts"]


def steps_taken(checkpoint: Path) -> int:
    """Training steps behind a checkpoint."""
    return int(torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)["global_step"])


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names -> values of a recipe."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
