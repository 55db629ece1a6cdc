"""A comparison from recipe and table to findings; the front door's ``compare``, and how ``fusion: auto`` chooses."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from polyfuse import registry
from polyfuse.comparison.alignments import AlignmentContext, alignment_index
from polyfuse.comparison.alignments import choose_alignments as aligned_by
from polyfuse.comparison.context import Context
from polyfuse.comparison.findings import Comparison, build_comparison
from polyfuse.comparison.plan import Budget, Say, Trial, choose_fusion, run_all
from polyfuse.comparison.store import Runs
from polyfuse.contracts import Decides, offers
from polyfuse.data.tables import Table
from polyfuse.evaluation.evaluate import input_facts
from polyfuse.evaluation.glossary import format_settings
from polyfuse.recipe import Recipe, RecipeError, parse
from polyfuse.recipe.outputs import outputs_without_scores

OVER = 1.1  # times the budget that are not worth a note
AUTO_TRAININGS = 6  # ``fusion: auto`` takes about as long as so many trainings


def compare(
    recipe: Recipe,
    table: Table,
    *,
    fusions: str | Sequence[str] = "all",
    alignments: str | Sequence[str] = (),
    seeds: int = 5,
    budget: float | None = None,
    output: str | None = None,
    unit: str | None = None,
    runs: Path | None = None,
    say: Say | None = None,
    device: str = "auto",
) -> Comparison:
    """Train every fusion and every single input on the same splits, and judge them on the same test rows.

    Of a recipe without outputs, or where ``alignments`` are named, these are trained instead, and judged by retrieval.

    Args:
        recipe: may leave anything open.
        fusions: ``all``, or names; aliases run once, and ``concat`` is always among them.
        alignments: ``all``, or names of objectives that align inputs; the recipe's own is always among them.
        seeds: trainings of each, from the recipe's own seed on.
        budget: seconds for everything; losers are then stopped early.
        output: the compared one; the first by default.
        unit: column whose values are resampled together: rows that share a sound are not independent.
        runs: folder that keeps every run, from which a stopped comparison goes on.
        say: told of every run.
        device: see ``device.choose_device``.

    Raises:
        ValueError: no such fusion, alignment or output, no test rows, or a budget without validation rows.
    """
    if seeds < 1:
        raise RecipeError(f"seeds: expected 1 or more, found {seeds}")
    started = time.monotonic()
    if recipe.data.folds is not None:
        raise RecipeError("data.folds: a comparison judges on one split; leave folds out (--set data.folds=null)")
    context: Context
    if alignments or (not recipe.outputs and alignment_index(recipe) is not None):
        if fusions != "all":
            raise RecipeError(
                "alignments are compared, which see inputs before any fusion: leave fusions out, or name an output and "
                "no alignments"
            )
        context = AlignmentContext(recipe, table, output, unit, device)
        names, dropped = aligned_by(alignments or "all", context.base.name), list[str]()
    else:
        names, dropped = choose_fusions(fusions)
        context = Context(recipe, table, output, unit, device)
        names, said = _supported_fusions(context.recipe, names, asked=fusions != "all")
        dropped += said
    if not len(context.splits.test):
        raise RecipeError("comparing needs test rows, other than those that choose: mark some in a split column")
    if not context.judgeable:
        raise RecipeError(
            f"comparing needs test rows with a value of output {context.output!r}, and no test row has one"
        )
    first = context.recipe.training.seed
    kept = Runs(runs, context.fingerprint)
    limit = None if budget is None else Budget(budget, started)
    tried = run_all(context, names, range(first, first + seeds), limit, kept, say or (lambda _: None))
    steps = max((run.steps for one in tried for run in one.runs), default=0)
    notes = [*context.notes, *dropped, *_stopped(tried)]
    cut = f"the budget had room for {steps:,} of {context.steps:,} steps of each training"
    counts = {side: len(getattr(context.splits, side)) for side in ("train", "val", "test")}
    meta = {
        "table": table.name,
        "date": date.today().isoformat(),
        "rows": counts,
        "inputs": input_facts(context.recipe),
        "seeds": seeds,
        "steps": steps,
        **({} if budget is None else {"budget": budget}),
        "seconds": round(time.monotonic() - started, 1),
        "machine": describe_machine(context.device.type),
        "notes": [*notes, *([cut] if limit and steps < context.steps else []), *_note_over_budget(limit)],
    }
    if decoding := next((run.outcome.decoding for one in tried for run in one.runs), None):
        meta["answers made with"] = format_settings(decoding)
    if unit is not None:
        meta["resampled by"] = unit
    return build_comparison(context, tried, meta)


def _note_over_budget(limit: Budget | None) -> list[str]:
    """A note where the budget did not hold."""
    spent = 0.0 if limit is None else limit.spent()
    if limit is None or spent <= OVER * limit.seconds:
        return []
    return [f"it took {spent:.0f} s, more than the budget of {limit.seconds:.0f} s; fewer fusions or seeds take less"]


def _stopped(tried: Sequence[Trial]) -> list[str]:
    names = [one.variant.name for one in tried if one.partial is not None and not one.completed]
    return [f"stopped early by the budget, judged on one short training: {', '.join(names)}"] if names else []


def choose_fusions(fusions: str | Sequence[str]) -> tuple[list[str], list[str]]:
    """The fusions to run, aliases replaced by what they stand for and each once, and notes on it."""
    if isinstance(fusions, str):
        fusions = (
            list(registry.table_of("fusion")) if fusions == "all" else [name.strip() for name in fusions.split(",")]
        )
    notes, names = [], ["concat"]
    for name in fusions:
        registry.fusion(name)
        target, keywords = registry.FUSION_ALIASES.get(name, (name, {}))
        plain = target if not keywords else name  # an alias with keywords of its own is another model
        if plain != name:
            notes.append(f"{name} is another name of {plain}, which runs once")
        names += [plain] if plain not in names else []
    return names, notes


def _supported_fusions(recipe: Recipe, names: list[str], *, asked: bool) -> tuple[list[str], list[str]]:
    """Those of some fusions that the outputs can have, and a note on the others; what was asked for by name stays."""
    alone = outputs_without_scores(recipe)
    joining = [name for name in names if alone and offers(registry.fusion(name), Decides)]
    if asked or not joining:
        return names, []
    left = [f"{', '.join(joining)} joins scores, and output {alone[0]!r} has none: left out"]
    return [name for name in names if name not in joining], left


def describe_machine(device: str = "cpu") -> str:
    """Cores, memory, accelerator and versions, for whoever reads seconds."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    on = "" if device == "cpu" else f", on {device}"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    cores = f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}{on}"
    return f"{cores}, Python {python}, torch {torch.__version__}"


def best_fusion(
    recipe: Recipe, table: Table, say: Say | None = None, started: float | None = None, device: str = "auto"
) -> tuple[Recipe, str]:
    """The recipe with the fusion that was best on validation rows, and a note on it: ``fusion: auto``.

    Args:
        started: when (``time.monotonic()``) the recipe's time budget began to run; half of it is for choosing.
        device: see ``device.choose_device``.

    Raises:
        RecipeError: no validation rows to choose by, or too little time to choose.
    """
    started, whole = time.monotonic() if started is None else started, recipe.training.time
    recipe = recipe.model_copy(deep=True)
    recipe.training.time = None
    context = Context(recipe, table, device=device)
    if not len(context.split.val):
        raise RecipeError("fusion: auto chooses on validation rows, and there are none; name a fusion, or give some")
    limit = None if whole is None else Budget(whole / 2, started)
    names, _ = _supported_fusions(context.recipe, choose_fusions("all")[0], asked=False)
    found, tried = choose_fusion(context, names, AUTO_TRAININGS, limit, say or (lambda _: None))
    recipe.fusion, recipe.training.time = parse({"fusion": found}).fusion, whole
    return recipe, f"fusion: auto took {found}, the best of {tried} on validation rows"
