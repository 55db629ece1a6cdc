"""Comparing alignments: the same inputs aligned by one objective after the other, judged by how well they are found."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from polyfuse import registry
from polyfuse.comparison.context import LATENCY_CALLS, Context, Run, Variant, without_augmentation
from polyfuse.contracts import says
from polyfuse.evaluation.evaluate import alignment_keys
from polyfuse.evaluation.outcome import Outcome
from polyfuse.evaluation.retrieval import retrieval_outcome
from polyfuse.model.bundle import Bundle
from polyfuse.model.network import Network
from polyfuse.recipe import ObjectiveRecipe, Recipe, RecipeError, parse
from polyfuse.recipe.validate import own_keywords
from polyfuse.system.device import device_of
from polyfuse.training.fit import TrainingData
from polyfuse.training.train import train

WHOSE = ("between", "around", "key", "weight")  # what of the recipe's own alignment the others take over


def alignment_names() -> list[str]:
    """Names of the objectives that align inputs."""
    return [name for name in registry.table_of("objective") if says(registry.objective(name), "aligning")]


def alignment_index(recipe: Recipe) -> int | None:
    """Place of the first objective of a recipe that aligns inputs."""
    found = [at for at, o in enumerate(recipe.extra_losses) if says(registry.objective(o.name), "aligning")]
    return found[0] if found else None


class AlignmentContext(Context):
    """A table and a recipe with an alignment, made ready for any number of runs, each with another alignment.

    Raises:
        RecipeError: the recipe aligns no inputs.
    """

    kind = "alignment"

    def _compared(self, output: str | None) -> str:
        place = alignment_index(self.recipe)
        if output is not None:
            raise RecipeError(f"alignments are compared by how well inputs are found, not by output {output!r}")
        if self.recipe.data.weighted_metrics:  # beside outputs; without any it is refused before
            raise RecipeError(
                "data.weighted_metrics: how inputs find each other is counted by query, so leave it out; "
                "losses are weighted all the same"
            )
        if place is None:
            raise RecipeError("no inputs are aligned: name them (--align A,B), or an objective such as clip")
        self.place, self.own = place, self.recipe.extra_losses[place]
        self.base = Variant("alignment", self.own.name)
        return "retrieval"

    @property
    def singles(self) -> list[Variant]:
        """None: an input alone finds nothing."""
        return []

    @property
    def judgeable(self) -> bool:
        """Whether two aligned inputs of a test row are there."""
        return bool(len(self.splits.test))

    @cached_property
    def groups(self) -> list[Hashable] | None:
        """Of the judged rows: those of one list are resampled together, or those of one unit."""
        if self.unit is None and self.recipe.data.explode:
            return self.table.rows_N[self.judged].tolist()
        return super().groups

    def variant_recipe(self, variant: Variant, seed: int, steps: int) -> Recipe:
        """The completed recipe of one run.

        Raises:
            RecipeError: what the recipe's alignment asks for does not apply to the other.
        """
        recipe = self.recipe.model_copy(deep=True)
        assert recipe.objectives is not None
        recipe.objectives[self.place] = replace_alignment(self.own, variant.name)
        recipe.training.seed, recipe.training.steps = seed, steps
        return recipe

    def run(self, variant: Variant, seed: int, steps: int, *, whole: bool = True) -> Run:
        """Train one network and judge it; see ``Stage.run``."""
        del whole  # neither noise nor missing inputs are compared here
        network, recipe, kept = self.network(variant, seed, steps)
        result = train(network, recipe, kept.rows, self.split, quiet=True)
        if result.interrupted:
            raise KeyboardInterrupt
        bundle = Bundle(recipe, network, kept.transforms, kept.specs)
        outcome = self._found(bundle, kept, self.judged)
        val = self._found(bundle, kept, self.split.val) if len(self.split.val) else None
        return Run(
            outcome=outcome,
            validation=None if val is None else self.value(val),
            parameters=sum(p.numel() for p in network.parameters()),
            steps=result.steps,
            train_seconds=result.seconds,
            predict_ms=_latency(network, self.ready, self.judged),
        )

    def _found(self, bundle: Bundle, kept: TrainingData, rows: np.ndarray) -> Outcome:
        return retrieval_outcome(bundle, kept.prepared, rows, alignment_keys(bundle, self.table))

    @property
    def metric(self) -> str:
        """Recall at 1, 5 and 10, on average over these and over all directions."""
        return "mean_recall"


def replace_alignment(own: ObjectiveRecipe, name: str) -> ObjectiveRecipe:
    """Another alignment of the same inputs; keywords beyond these stay with the one that they were given to.

    Raises:
        RecipeError: what the recipe asks for does not apply to the other.
    """
    if name == own.name:
        return own
    known = own_keywords(registry.objective(name), set())
    given = {key: value for key, value in {**own.keywords, "weight": own.weight}.items() if key in WHOSE}
    if given.get("around") is not None and "around" not in known:
        raise RecipeError(
            f"{name} compares all inputs with each other: around={given['around']!r} does not apply to it"
        )
    if given.get("key") is not None and "key" not in known:
        raise RecipeError(f"{name} compares no rows with each other: key={given['key']!r} does not apply to it")
    kept = {key: value for key, value in given.items() if key in (*known, "weight") and value is not None}
    made = parse({"objectives": [{"name": name, **kept}]}).objectives
    assert made
    return made[0]


def choose_alignments(names: str | Sequence[str], own: str) -> list[str]:
    """The alignments to run, the recipe's own among them and each once.

    Raises:
        RecipeError: one that is no alignment.
    """
    known = alignment_names()
    if isinstance(names, str):
        names = known if names == "all" else [name.strip() for name in names.split(",")]
    for name in names:
        if not says(registry.objective(name), "aligning"):
            raise RecipeError(f"{name} aligns no inputs, so it cannot be compared here; expected {', '.join(known)}")
    return list(dict.fromkeys([own, *names]))


def _latency(network: Network, ready: TrainingData, numbers: np.ndarray) -> float:
    """Median milliseconds from the prepared cells of one row to its vectors, encoders included."""
    plain = without_augmentation(ready.rows)
    network.eval()
    times: list[float] = []
    with torch.inference_mode():
        for n in range(LATENCY_CALLS + 3):
            batch: Any = plain[0, numbers[n % len(numbers) :][:1]].to(device_of(network))
            started = time.perf_counter()
            network.shared(network.encode(batch))
            times.append(time.perf_counter() - started)
    return round(1000 * float(np.median(times[3:])), 3)
