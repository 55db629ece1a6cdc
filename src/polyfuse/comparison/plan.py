"""Which runs a comparison makes: everything where there is time, else halving: losers stop early, by validation.

Karnin et al., Almost optimal exploration in multi-armed bandits, ICML 2013; Jamieson and Talwalkar, Non-stochastic best
arm identification and hyperparameter optimization, AISTATS 2016.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from polyfuse.checks import check
from polyfuse.comparison.stage import Run, Stage, Variant
from polyfuse.comparison.store import Runs
from polyfuse.data.batches import Order, loader
from polyfuse.recipe import RecipeError
from polyfuse.training.speed import step_seconds

RUNGS = (8, 4, 2)  # a rung trains this fraction of the whole schedule, one seed
FINAL_SHARE = 0.7  # of the budget, for runs that are completed
OVERHEAD = 1.3  # of a run over its training steps: building, judging, noise
BASE = Variant("fusion", "concat")

Say = Callable[[str], None]


@dataclass
class Tried:
    """One variant: its complete runs by seed, or the last short run before it was stopped, or why it was refused."""

    variant: Variant
    runs: list[Run] = field(default_factory=list)
    partial: Run | None = None
    refused: str | None = None

    @property
    def completed(self) -> bool:
        """Whether it was trained to the end with every seed."""
        return bool(self.runs)


def run_all(
    stage: Stage, fusions: Sequence[str], seeds: Sequence[int], budget: float | None, kept: Runs, say: Say
) -> list[Tried]:
    """Every fusion and every single input, trained and judged.

    Args:
        fusions: names, ``concat`` among them where it is to be compared with.
        seeds: of complete runs.
        budget: seconds for all of it; None for no limit.
        say: told what goes on.

    Raises:
        RecipeError: a budget without validation rows to stop losers by.
    """
    singles = [Tried(Variant("single", name)) for name in stage.recipe.inputs]
    tried = [Tried(Variant("fusion", name)) for name in fusions]
    _refuse(stage, tried)
    final = [t for t in tried if t.refused is None]
    steps = stage.steps
    if budget is not None:
        final, steps = _survivors(stage, final, singles, seeds, budget, kept, say)
    # seed by seed, so that a comparison that is stopped has something on everything
    for seed in seeds:
        for one in [*singles, *final]:
            one.runs.append(_run(stage, one.variant, seed, steps, kept, say))
    return [*singles, *tried]


def _refuse(stage: Stage, tried: Sequence[Tried]) -> None:
    """Fusions that do not go with the recipe or its inputs say why, before anything is trained."""
    for one in tried:
        try:
            check(stage.variant_recipe(one.variant, 0, stage.steps))
            stage.network(one.variant, 0, stage.steps)
        except ValueError as error:
            one.refused = str(error)


def _run(stage: Stage, variant: Variant, seed: int, steps: int, kept: Runs, say: Say, *, whole: bool = True) -> Run:
    key = f"{variant.key}-{seed}-{steps}{'' if whole else '-short'}"
    found = kept.get(key)
    if found is None:
        started = time.monotonic()
        found = stage.run(variant, seed, steps, whole=whole)
        kept.put(key, found)
        said = "" if found.validation is None else f", validation {found.validation:.4f}"
        value = stage.value(found.outcome)
        shown = "undefined" if value is None else f"{value:.4f}"
        say(f"{variant.name}, seed {seed}: {stage.metric} {shown}{said}, {time.monotonic() - started:.0f} s")
    return found


def _survivors(
    stage: Stage,
    tried: list[Tried],
    singles: Sequence[Tried],
    seeds: Sequence[int],
    budget: float,
    kept: Runs,
    say: Say,
) -> tuple[list[Tried], int]:
    """Those that are trained to the end, and for how many steps: as many as the budget allows, the best ones."""
    everyone = [*tried, *singles]
    seconds = kept.fact("speed", lambda: {one.variant.key: _step_seconds(stage, one.variant) for one in everyone})
    if {one.variant.key for one in everyone} != set(seconds):
        raise RecipeError("the folder holds a comparison of other fusions under a budget; name another folder")
    cost = {one.variant: seconds[one.variant.key] * OVERHEAD for one in everyone}
    always = [one for one in tried if one.variant == BASE]
    room, whole = budget, stage.steps * len(seeds)
    fixed = whole * sum(cost[one.variant] for one in [*always, *singles])
    if fixed + whole * sum(cost[one.variant] for one in tried if one not in always) <= room:
        return tried, stage.steps
    if not len(stage.split.val):
        raise RecipeError("a budget stops losers by validation, and there are no validation rows; leave the budget out")
    share = budget * FINAL_SHARE
    dear = max(cost[one.variant] for one in tried)
    last = max(1, int((share - fixed) / (whole * dear)))
    ranked = _halved(stage, tried, last, cost, budget * (1 - FINAL_SHARE), kept, say)
    final = [*always, *(one for one in ranked[:last] if one not in always)]
    needed = whole * sum(cost[one.variant] for one in [*final, *singles])
    steps = stage.steps if needed <= share else max(1, int(stage.steps * share / needed))
    for one in final:
        one.partial = None
    return final, steps


def _halved(
    stage: Stage,
    tried: Sequence[Tried],
    last: int,
    cost: Mapping[Variant, float],
    seconds: float,
    kept: Runs,
    say: Say,
) -> list[Tried]:
    """The variants ranked by their last short run, after the worse half was dropped at every rung."""
    alive = list(tried)
    per_rung = seconds / len(RUNGS)
    for rung in RUNGS:
        if len(alive) <= last:
            break
        afford = per_rung / sum(cost[one.variant] for one in alive)
        steps = max(1, min(stage.steps // rung, int(afford)))
        for one in alive:
            one.partial = _run(stage, one.variant, 0, steps, kept, say, whole=False)
        alive.sort(key=lambda one: _goodness(stage, one), reverse=True)
        alive = alive[: max(last, (len(alive) + 1) // 2)]
    return alive


def choose(stage: Stage, fusions: Sequence[str], trainings: int, say: Say) -> str:
    """The best fusion on validation rows, found in about as many steps as some whole trainings take.

    Three rounds of equal cost, each with a quarter of the fusions of the one before, trained so much longer.
    """
    alive = [Tried(Variant("fusion", name)) for name in fusions]
    _refuse(stage, alive)
    alive = [one for one in alive if one.refused is None]
    kept = Runs(None, "")
    for _ in range(3):
        steps = max(1, min(stage.steps, trainings * stage.steps // (3 * len(alive))))
        for one in alive:
            one.partial = _run(stage, one.variant, stage.recipe.training.seed, steps, kept, say, whole=False)
        alive = sorted(alive, key=lambda one: _goodness(stage, one), reverse=True)[: max(1, len(alive) // 4)]
        if len(alive) == 1:
            break
    return alive[0].variant.name


def _goodness(stage: Stage, one: Tried) -> float:
    value = one.partial.validation if one.partial else None
    if value is None:
        return float("-inf")
    return value if stage.higher else -value


def _step_seconds(stage: Stage, variant: Variant, steps: int = 6) -> float:
    """Seconds of one training step, measured on a network that is thrown away."""
    network, recipe, kept = stage.network(variant, 0, stage.steps)
    batches = loader(kept.rows, Order(stage.split.train, int(recipe.training.batch_size), shuffle=True))
    return step_seconds(network, recipe, batches, steps)
