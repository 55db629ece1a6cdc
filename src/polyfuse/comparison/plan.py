"""Schedules the runs of a comparison: all in full where time allows, else successive halving by validation.

Karnin et al., Almost optimal exploration in multi-armed bandits, ICML 2013; Jamieson and Talwalkar, Non-stochastic best
arm identification and hyperparameter optimization, AISTATS 2016.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from polyfuse.comparison.context import Context, Run, Variant
from polyfuse.comparison.store import Runs
from polyfuse.data.batches import Order, loader
from polyfuse.recipe import RecipeError
from polyfuse.recipe.validate import check_recipe
from polyfuse.training.speed import step_seconds

RUNGS = (8, 4, 2)  # a rung trains this fraction of the whole schedule, one seed
FINAL_SHARE = 0.7  # of the budget, for runs that are completed
SLACK = 1.1  # of a step over what the probe measured: checkpoints of the schedule, validation
FEWEST = 20  # steps below which a training says nothing of a fusion

Say = Callable[[str], None]


@dataclass
class Trial:
    """One variant: its complete runs by seed, or the last short run before it was stopped, or why it was refused."""

    variant: Variant
    runs: list[Run] = field(default_factory=list)
    partial: Run | None = None
    refused: str | None = None

    @property
    def completed(self) -> bool:
        """Whether it was trained to the end with every seed."""
        return bool(self.runs)


@dataclass
class Budget:
    """Seconds for a comparison, and when (``time.monotonic()``) they began to run."""

    seconds: float
    started: float

    def spent(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self.started


@dataclass
class Cost:
    """Seconds of a run: those that every run takes, and those of a step of each variant, by key."""

    run: float
    short: float
    step: Mapping[str, float]

    def of(self, some: Sequence[Trial], steps: int, *, short: bool = False) -> float:
        """Seconds of a run of each."""
        return len(some) * (self.short if short else self.run) + steps * self.steps(some)

    def steps(self, some: Sequence[Trial]) -> float:
        """Seconds of a step of each."""
        return SLACK * sum(self.step[one.variant.key] for one in some)


def run_all(
    context: Context, fusions: Sequence[str], seeds: Sequence[int], budget: Budget | None, kept: Runs, say: Say
) -> list[Trial]:
    """Every fusion and every single input, or every alignment, trained and judged.

    Args:
        fusions: names of what is compared, the context's base among them where it is to be compared with.
        seeds: of complete runs.
        budget: for all of it; None for no limit.
        say: told what goes on.

    Raises:
        RecipeError: a budget without validation rows to stop losers by.
    """
    singles = [Trial(variant) for variant in context.singles]
    tried = [Trial(Variant(context.kind, name)) for name in fusions]
    _refuse(context, tried, seeds[0])
    final = [t for t in tried if t.refused is None]
    steps = context.steps
    if budget is not None:
        final, steps = _survivors(context, final, singles, seeds, budget, kept, say)
    # seed by seed, so that a comparison that is stopped has something on everything
    for seed in seeds:
        for one in [*singles, *final]:
            one.runs.append(_run(context, one.variant, seed, steps, kept, say))
    return [*singles, *tried]


def _refuse(context: Context, tried: Sequence[Trial], seed: int) -> None:
    """Fusions that do not go with the recipe or its inputs say why, before anything is trained."""
    for one in tried:
        try:
            check_recipe(context.variant_recipe(one.variant, seed, context.steps))
            context.network(one.variant, seed, context.steps)
        except ValueError as error:
            one.refused = str(error)


def _run(context: Context, variant: Variant, seed: int, steps: int, kept: Runs, say: Say, *, whole: bool = True) -> Run:
    key = f"{variant.key}-{seed}-{steps}{'' if whole else '-short'}"
    found = kept.get(key)
    if found is None:
        started = time.monotonic()
        found = context.run(variant, seed, steps, whole=whole)
        kept.put(key, found)
        said = "" if found.validation is None else f", validation {found.validation:.4f}"
        value = context.value(found.outcome)
        shown = "undefined" if value is None else f"{value:.4f}"
        say(f"{variant.name}, seed {seed}: {context.metric} {shown}{said}, {time.monotonic() - started:.0f} s")
    return found


def _survivors(
    context: Context,
    tried: list[Trial],
    singles: Sequence[Trial],
    seeds: Sequence[int],
    budget: Budget,
    kept: Runs,
    say: Say,
) -> tuple[list[Trial], int]:
    """Those that are trained to the end, and for how many steps: as many as the budget allows, the best ones.

    What was measured is kept, so that a comparison that goes on keeps to its plan.
    """
    everyone = [*tried, *singles]
    found = kept.fact("speed", lambda: {**_cost(context, everyone, seeds[0]).__dict__, "spent": budget.spent()})
    if {one.variant.key for one in everyone} != set(found["step"]):
        raise RecipeError("the folder holds a comparison of other fusions under a budget; name another folder")
    spent = found.pop("spent")
    cost, room = Cost(**found), max(0.0, budget.seconds - spent)
    if len(seeds) * cost.of(everyone, context.steps) <= room:
        return tried, context.steps
    if not len(context.split.val):
        raise RecipeError("a budget stops losers by validation, and there are no validation rows; leave the budget out")
    always = [one for one in tried if one.variant == context.base]
    left = room * FINAL_SHARE - len(seeds) * cost.of([*always, *singles], context.steps)
    dearest = max(cost.of([one], context.steps) for one in tried)
    last = max(1, int(left / (len(seeds) * dearest)))
    ranked = _successive_halving(context, tried, last, seeds[0], cost, room * (1 - FINAL_SHARE), kept, say)
    final = [*always, *[one for one in ranked if one not in always][:last]]
    left = budget.seconds - kept.fact("halved", budget.spent) - len(seeds) * cost.of([*final, *singles], 0)
    steps = min(context.steps, int(left / (len(seeds) * cost.steps([*final, *singles]))))
    if steps < min(FEWEST, context.steps):
        steps = min(FEWEST, context.steps)
        more = len(seeds) * cost.of([*final, *singles], steps)
        say(
            f"the budget of {budget.seconds:.0f} s is too short even for {steps} steps of those that are left: judging "
            f"included, they take about {more:.0f} s more, {budget.spent() + more:.0f} s in all"
        )
    for one in final:
        one.partial = None
    return final, steps


def _cost(context: Context, some: Sequence[Trial], seed: int) -> Cost:
    """Measured on networks that are thrown away."""

    def seconds(whole: bool) -> float:
        started = time.monotonic()
        context.run(context.base, seed, 1, whole=whole)
        return time.monotonic() - started

    seconds(True)  # what the first run alone does: noise over frozen encoders, modules read
    return Cost(seconds(True), seconds(False), {o.variant.key: _step_seconds(context, o.variant, seed) for o in some})


def _successive_halving(
    context: Context,
    tried: Sequence[Trial],
    last: int,
    seed: int,
    cost: Cost,
    seconds: float,
    kept: Runs,
    say: Say,
) -> list[Trial]:
    """The variants ranked by their last short run, after the worse half was dropped at every rung."""
    alive = list(tried)
    for rung in RUNGS:
        if len(alive) <= last:
            break
        afford = (seconds / len(RUNGS) - cost.of(alive, 0, short=True)) / cost.steps(alive)
        steps = max(1, min(context.steps // rung, int(afford)))
        for one in alive:
            one.partial = _run(context, one.variant, seed, steps, kept, say, whole=False)
        alive.sort(key=lambda one: _goodness(context, one), reverse=True)
        alive = alive[: max(last, (len(alive) + 1) // 2)]
    return alive


def choose_fusion(
    context: Context, fusions: Sequence[str], trainings: int, budget: Budget | None, say: Say
) -> tuple[str, int]:
    """The best fusion on validation rows, found in about as many steps as some whole trainings take; and of how many.

    Three rounds of equal cost, each with a quarter of the fusions of the one before, trained so much longer.

    Args:
        budget: fewer steps where they would not fit into it.

    Raises:
        RecipeError: a budget in which the fusions cannot be told from each other.
    """
    seed = context.recipe.training.seed
    alive = [Trial(Variant("fusion", name)) for name in fusions]
    _refuse(context, alive, seed)
    alive = [one for one in alive if one.refused is None]
    kept, able = Runs(None, ""), len(alive)
    cost = _cost(context, alive, seed) if budget is not None else None
    for rounds in (3, 2, 1):
        steps = max(1, min(context.steps, trainings * context.steps // (3 * len(alive))))
        if cost is not None and budget is not None:
            left = (budget.seconds - budget.spent()) / rounds - cost.of(alive, 0, short=True)
            steps = min(steps, int(left / cost.steps(alive)))
            if steps < min(FEWEST, context.steps) and rounds == 3:
                raise RecipeError(
                    f"fusion: auto would try {able} fusions, and the time budget has no room for that; give more time "
                    "or name a fusion"
                )
            steps = max(1, steps)
        for one in alive:
            one.partial = _run(context, one.variant, seed, steps, kept, say, whole=False)
        alive = sorted(alive, key=lambda one: _goodness(context, one), reverse=True)[: max(1, len(alive) // 4)]
        if len(alive) == 1:
            break
    return alive[0].variant.name, able


def _goodness(context: Context, one: Trial) -> float:
    value = one.partial.validation if one.partial else None
    if value is None:
        return float("-inf")
    return value if context.higher else -value


def _step_seconds(context: Context, variant: Variant, seed: int, steps: int = 6) -> float:
    """Seconds of one training step, measured on a network that is thrown away."""
    network, recipe, kept = context.network(variant, seed, context.steps)
    batches = loader(kept.rows, Order(context.split.train, int(recipe.training.batch_size), shuffle=True))
    return step_seconds(network, recipe, batches, steps)
