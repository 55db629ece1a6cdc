"""Public functions that make or list things: fit, compare, index, demo, parts, starter."""

from __future__ import annotations

import json
import sys
import time as clock
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polyfuse import registry
from polyfuse.api.model import Model, load
from polyfuse.data.output_paths import refuse_source
from polyfuse.data.tables import read_table
from polyfuse.digits.data import build as build_demo
from polyfuse.evaluation.report import Report
from polyfuse.recipe import parse
from polyfuse.recipe.build import Names, Settings, build_recipe
from polyfuse.registry import Listing
from polyfuse.starter import StarterState, states
from polyfuse.system.lazy import LazyModule
from polyfuse.system.messages import log_notes, show_bars
from polyfuse.system.process import training_alone
from polyfuse.trust import Trust, with_trust

if TYPE_CHECKING:
    from polyfuse.comparison import compare as comparing
    from polyfuse.comparison import crossvalidation as validating
    from polyfuse.comparison.findings import Comparison
    from polyfuse.evaluation import card, evaluate
    from polyfuse.model import bundle as bundles
    from polyfuse.search import index as indexing
    from polyfuse.search.index import Index
    from polyfuse.training import fit as training
    from polyfuse.training.fit import Fitted
else:  # what needs torch, and what needs Lightning, is imported by the verbs that use it
    bundles = LazyModule("polyfuse.model.bundle")
    card = LazyModule("polyfuse.evaluation.card")
    evaluate = LazyModule("polyfuse.evaluation.evaluate")
    comparing = LazyModule("polyfuse.comparison.compare")
    training = LazyModule("polyfuse.training.fit")
    validating = LazyModule("polyfuse.comparison.crossvalidation")
    indexing = LazyModule("polyfuse.search.index")


def index(
    model: Model | str | Path,
    table: Any,
    *,
    to: str | Path,
    media_root: str | Path | None = None,
    max_broken: float | None = None,
    device: str | None = None,
    trust: Trust = (),
) -> Index:
    """Make an index of a table's rows that can be searched by every input the model aligns.

    Args:
        model: one fitted with ``align``, or the folder of one; it is kept in the index.
        to: a new folder.
        max_broken: share of a column's cells that may be unreadable; the recipe's by default.
        device: where the model of a folder computes, ``auto`` by default; a model given as such computes where it is.
        trust: as for ``load``.

    Raises:
        ValueError: the model aligns nothing, the folder holds something, or the table lacks a column.
    """
    if isinstance(model, Model) and device is not None:
        raise ValueError("device: is for the folder of a model; this one is loaded, polyfuse.load(folder, device=...)")
    made = model if isinstance(model, Model) else load(model, device=device or "auto", trust=trust)
    return indexing.Index.create(made.bundle, table, to, media_root=media_root, max_broken=max_broken)


def parts(kind: str) -> list[Listing]:
    """Every part of a kind: ``encoders``, ``fusions``, ``heads``, ``objectives``, ``learners``, ``compressors``,
    ``lessons`` or ``explainers``."""
    return registry.listings(kind)


def starter() -> list[StarterState]:
    """Every pretrained part that comes as a package and works offline, and whether it is installed and as expected."""
    return states()


@with_trust
@training_alone()
def fit(
    source: Any,
    *,
    table: Any = None,
    outputs: Names = (),
    inputs: Names = (),
    fusion: str | None = None,
    preset: str | None = None,
    align: Names = (),
    split: str | None = None,
    group: str | None = None,
    order: str | None = None,
    folds: int | None = None,
    weights: str | None = None,
    weighted_metrics: bool = False,
    where: str | None = None,
    media_root: str | Path | None = None,
    to: str | Path | None = None,
    time: str | float | None = None,
    seed: int | None = None,
    settings: Settings = (),
    resume: bool = False,
    quiet: bool = False,
    verbose: bool | None = None,
    device: str = "auto",
    trust: Trust = (),  # noqa: ARG001 - taken by the decorator
) -> Model:
    """Train a model, judge it on the test split where there is one, and save it where ``to`` says.

    Args:
        source: a table (anything ``read_table`` reads), a ``Recipe``, a recipe's ``.yaml``, or a saved model whose
            recipe is fitted again.
        table: the table for a recipe, instead of the one it names.
        outputs: the column to learn, or several, each ``COL`` or ``COL=HEAD``.
        inputs: ``COL``, ``COL=MODALITY`` or ``NAME@COL1,COL2[=MODALITY[:ENCODER]]``; all usable columns by default.
        fusion: a name from ``parts("fusions")``.
        preset: ``plain``, ``scratch``, ``starter`` or ``best``: which encoders and members are taken where the recipe
            names none.
        align: inputs to align with each other in one space (``clip``), so that each finds the others; ``outputs`` may
            then be empty.
        split: column with the values train, val, test.
        group: column whose values stay on one side of a made split.
        order: column of dates or numbers: the oldest rows train, later ones validate, the latest test.
        folds: judge every row once, by a model that did not see it, and train the final model on all rows, instead of
            a split; the report then has the mean and spread of each metric over folds.
        weights: column of numbers, 0 and above: how much each row counts in training.
        weighted_metrics: rows count by their weights in metrics as well.
        where: a pandas query that keeps rows.
        media_root: folder that paths in cells start from.
        to: folder of the model; beside it ``TO.run`` holds TensorBoard event files and, while training, checkpoints.
        time: budget for reading, training and judging, such as ``5m`` or seconds; what does not fit is said.
        seed: fixes everything random.
        settings: ``FIELD=VALUE`` of the recipe, such as ``training.epochs=5``, or several; or a dict of fields, such as
            ``{"training": {"epochs": 5}}``.
        resume: go on from the checkpoint in ``TO.run``.
        quiet: no progress bar, and no notes.
        verbose: log the notes on the table, the splits and the training (logger ``polyfuse``), which also stand in
            ``Model.notes``; the opposite of ``quiet`` by default.
        device: where it trains and predicts: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:N`` or
            ``mps``; one device, of several GPUs the first.
        trust: as for ``load``, of a saved model that is fitted again or that an input starts from; parts that your own
            recipe names as ``package.module:Class`` need none.

    Raises:
        ValueError: what is asked cannot be; says what was found, expected, and how to mend it.
    """
    started = clock.monotonic()
    if to is not None:
        bundles.check_folder(to)
    arguments: dict[str, Any] = {"outputs": outputs, "inputs": inputs, "fusion": fusion, "split": split, "group": group}
    arguments |= {"where": where, "media_root": media_root, "time": time, "seed": seed, "preset": preset}
    arguments |= {"order": order, "folds": folds, "weights": weights, "weighted_metrics": weighted_metrics}
    arguments["align"] = align
    recipe, read = build_recipe(source, table, settings=settings, **arguments)
    name, run = Path(to).name if to is not None else "model", Path(f"{to}.run") if to is not None else None
    choice = []
    if recipe.fusion.name == "auto" and recipe.outputs and recipe.data.folds is None:
        recipe, note = comparing.best_fusion(recipe, read, started=started, device=device)
        choice = [note]
    options: dict[str, Any] = {"run": run, "resume": resume, "quiet": quiet, "started": started, "device": device}
    options["judging"] = evaluate.estimate_seconds
    if recipe.data.folds is not None:
        fitted, report = validating.cross_validate(recipe, read, name=name, **options)
        model = _attach_report(fitted, name, report)
    else:
        fitted = training.fit(recipe, read, **options)
        fitted.notes[:0] = choice
        with show_bars(not quiet):
            model = _evaluate_fitted(fitted, name)
    if to is not None:
        model.save(to)
    log_notes(model.notes, not quiet if verbose is None else verbose)
    return model


@with_trust
@training_alone()
def compare(
    source: Any,
    *,
    table: Any = None,
    outputs: Names = (),
    inputs: Names = (),
    fusions: str | Sequence[str] = "all",
    align: Names = (),
    alignments: str | Sequence[str] = (),
    seeds: int = 5,
    budget: str | float | None = None,
    split: str | None = None,
    group: str | None = None,
    order: str | None = None,
    weights: str | None = None,
    weighted_metrics: bool = False,
    unit: str | None = None,
    where: str | None = None,
    media_root: str | Path | None = None,
    to: str | Path | None = None,
    seed: int | None = None,
    settings: Settings = (),
    say: Callable[[str], None] | None = None,
    verbose: bool = True,
    device: str = "auto",
    trust: Trust = (),  # noqa: ARG001 - taken by the decorator
) -> Comparison:
    """Train every fusion and every single input on the same splits, and judge them on the same test rows.

    Args:
        source, table, outputs, inputs, split, group, order, weights, weighted_metrics, where, media_root, seed,
            settings: as for ``fit``; the first output is compared, and the fusion of a recipe is replaced by each of
            ``fusions``.
        fusions: ``all``, or names; ``concat`` is always among them.
        align: as for ``fit``; without outputs it is alignments of these inputs that are compared.
        alignments: compare objectives that align inputs (``all``, or names such as ``clip`` and ``siglip``) instead of
            fusions, by recall at 1, 5 and 10 on average, in both directions; the recipe's own is always among them.
        seeds: trainings of each.
        budget: such as ``10m`` or seconds, for everything; losers are then stopped early, by validation rows.
        unit: column whose values are resampled together for intervals and p-values, such as a sound that several rows
            share; ``group`` by default.
        to: folder that keeps every run, so that a stopped comparison goes on, and the findings as JSON and HTML.
        say: told of every run as it ends; by default each is written to standard error.
        verbose: log the notes as well; without, nothing is said but to ``say``.
        device, trust: as for ``fit``.

    Raises:
        ValueError: what is asked cannot be; says what was found, expected, and how to mend it.
    """
    arguments: dict[str, Any] = {"outputs": outputs, "inputs": inputs, "split": split, "group": group}
    arguments |= {"order": order, "weights": weights, "weighted_metrics": weighted_metrics}
    arguments |= {"where": where, "media_root": media_root, "seed": seed, "align": align}
    recipe, read = build_recipe(source, table, settings=settings, **arguments)
    limit = parse({"training": {"time": budget}}).training.time
    place = Path(to) if to is not None else None
    runs, pages = (place / "runs", (place / "comparison.html", place / "comparison.json")) if place else (None, ())
    for page in pages:
        refuse_source(page, recipe.data.table)
    say = say or (_to_standard_error if verbose else None)
    options: dict[str, Any] = {
        "fusions": fusions,
        "alignments": alignments,
        "seeds": seeds,
        "budget": limit,
        "unit": unit,
    }
    found = comparing.compare(recipe, read, **options, runs=runs, say=say, device=device)
    if place:
        found.to_html(place / "comparison.html")
        text = json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        (place / "comparison.json").write_text(text + "\n", encoding="utf8")
    log_notes(found.meta["notes"], verbose)
    return found


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _evaluate_fitted(fitted: Fitted, name: str) -> Model:
    """The model with its evaluation: on the test rows, or on validation rows where no test row can be judged."""
    report = None
    if len(fitted.judged) and (fitted.bundle.recipe.outputs or fitted.bundle.network.aligned):
        if not np.isin(fitted.judged, fitted.splits.test).all():
            alone = fitted.bundle.network.ensemble is None
            how = "which also chose the weights" if alone else "on which nothing was trained or chosen"
            what = "no test row can be judged" if len(fitted.splits.test) else "no test split"
            fitted.notes.append(f"{what}: these figures come from validation rows, {how}")
        began, spent = clock.monotonic(), fitted.bundle.report["seconds"]
        options: dict[str, Any] = {"name": name, "notes": fitted.notes, "unseen": "skip", "seconds": spent}
        try:
            report = evaluate.evaluate_rows(fitted.bundle, fitted.table, fitted.prepared, fitted.judged, **options)
            spent["judging"] = round(clock.monotonic() - began, 2)
        except KeyboardInterrupt:  # what was learned is not lost with what it is worth
            fitted.bundle.report["training"]["interrupted"] = True
            fitted.notes.append("interrupted while it was judged: the model is whole, its figures are not there")
    return _attach_report(fitted, name, report)


def _attach_report(fitted: Fitted, name: str, report: Report | None) -> Model:
    """The model with its evaluation, where there is one."""
    model = Model(fitted.bundle, name)
    model.notes, model.evaluation = fitted.notes, report
    if report is not None:
        fitted.bundle.report["evaluation"] = report.to_json()
    fitted.bundle.card = card.card(fitted.bundle, name, fitted.notes)
    return model


def demo(to: str | Path = "demo-output", *, quiet: bool = False) -> Report:
    """Train on digits that are written, spoken and hinted at; save the model, its table and its report under ``to``.

    Raises:
        ValueError: another table lies where the demo's would go.
    """
    place = Path(to)
    place.mkdir(parents=True, exist_ok=True)
    table, made = place / "table.parquet", build_demo()
    if table.exists() and list(read_table(table).frame.columns) != list(made.columns):
        raise ValueError(f"{table} is another table, and the demo would write over it: name another folder")
    made.to_parquet(table, index=False)
    inputs = ("handwriting", "speech", "clue")
    settings = ("training.epochs=32",)  # more gain a point or two and take more than 90 seconds on two cores
    model = fit(
        table,
        outputs=["digit=category"],
        inputs=inputs,
        split="split",
        preset="plain",  # what fusion adds, and nothing beside it
        to=place / "model",
        settings=settings,
        quiet=quiet,
        verbose=False,  # the report says it
    )
    assert model.evaluation is not None
    model.evaluation.to_html(place / "report.html")
    return model.evaluation
