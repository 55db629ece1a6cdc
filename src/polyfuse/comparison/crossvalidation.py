"""Cross-validation: each row judged once by a model that did not see it, and one final model trained on all rows.

Stone, Cross-validatory choice and assessment of statistical predictions, JRSS B 1974. With rows ordered in time, folds
follow each other and each is judged by a model of older rows alone; the oldest stretch then only trains.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyfuse import registry
from polyfuse.comparison.store import write_json
from polyfuse.contracts import Tempered, WatchesValidation, offers
from polyfuse.data.splits import Splits, make_strata
from polyfuse.data.tables import Table
from polyfuse.data.timeline import split_evenly
from polyfuse.evaluation.evaluate import Kept, build_report, outcomes_by_inputs
from polyfuse.evaluation.folds import Folds
from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import KEPT, Outcome, to_plain_json
from polyfuse.evaluation.report import Report
from polyfuse.evaluation.targets import metric_weights
from polyfuse.learners.folds import fold_numbers
from polyfuse.metrics.calibration import fit_temperature
from polyfuse.recipe import Recipe, RecipeError
from polyfuse.recipe.resolve import check_decided, row_groups, row_times, split_table
from polyfuse.system.messages import show_bars
from polyfuse.system.process import Interrupted
from polyfuse.training.fit import Fitted, Judging, fit

FOLD = "fold_"  # folders of a run that hold what each fold's model said
FEW = 50  # rows below which no temperature is fitted


@dataclass(frozen=True)
class FoldResult:
    """What the model of one fold said of the rows that it did not see.

    Args:
        rows: their numbers.
        kept: inputs that were present -> outcome of each output.
        alone: whether its network answers without members, and chose its weights without validation rows.
    """

    rows: np.ndarray
    kept: Kept
    alone: bool


def cross_validate(
    recipe: Recipe,
    table: Table,
    *,
    name: str,
    run: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    started: float | None = None,
    device: str | torch.device = "auto",
    judging: Judging | None = None,
) -> tuple[Fitted, Report | None]:
    """Fit a model without each fold in turn, judge it there, and fit the final model on all rows.

    Args:
        recipe: with ``data.folds``.
        name: what the report calls the model.
        run: folder for checkpoints, and for what the models of single folds said.
        resume: go on where the run was stopped.
        started: ``time.monotonic()`` from which a time budget counts; folds and final model share it.
        device: where all of them compute; see ``device.choose_device``.
        judging: how long judging a fold takes, for which a time budget leaves room.

    Returns:
        The final model, and the report of all rows, each judged by the model of its fold; None where that was
        interrupted.

    Raises:
        ValueError: what is asked cannot be, such as fewer rows or groups than two.
        Interrupted: stopped before the final model; with a run's folder it can be gone on with.
    """
    _check(recipe)
    check_decided(recipe, table)
    started = time.monotonic() if started is None else started
    splits, by = fold_splits(recipe, table)
    if run is not None and not resume:
        for old in run.glob(f"{FOLD}*"):
            shutil.rmtree(old, ignore_errors=True)
    shared: dict[str, Any] = {"quiet": quiet, "device": device}
    found: list[FoldResult] = []
    try:
        for k, split in enumerate(splits):
            place = None if run is None else run / f"{FOLD}{k}"
            done = _load_fold(place, recipe) if place is not None and resume else None
            if done is None:
                own, again = (
                    _share(recipe, started, len(splits) + 1 - k),
                    resume and place is not None and place.exists(),
                )
                fitted = fit(own, table, splits=split, run=place, resume=again, judging=judging, **shared)
                with show_bars(not quiet):
                    done = _fold_result(fitted)
                _save_fold(place, recipe, done)
            found.append(done)
        whole, own = _final_splits(recipe, table, validated=not found[0].alone), _share(recipe, started, 1)
        reporting = None if own.training.time is None else _reporting(found)
        before = time.monotonic()
        final = fit(own, table, splits=whole, run=run, resume=resume, judging=reporting, **shared)
    except KeyboardInterrupt as stop:
        where = f"in fold {len(found) + 1} of" if len(found) < len(splits) else "in the final model, after"
        raise Interrupted(f"{where} {len(splits)} folds; {_resume_hint(run)}") from stop
    spent = final.bundle.report["seconds"]
    spent["folds"] = round(before - started, 2)
    rows, kept = _pool_rows(final, found)
    _calibrate(final, kept)
    if run is not None and not final.result.interrupted:
        for k in range(len(splits)):
            (run / f"{FOLD}{k}" / "judged.json").unlink(missing_ok=True)
            (run / f"{FOLD}{k}" / "judged.npz").unlink(missing_ok=True)
    first = next(iter(kept))
    metrics = [{o: judge(outcome, bootstrap=0).metrics for o, outcome in one.kept[first].items()} for one in found]
    folds = Folds(
        [len(one.rows) for one in found],
        {o: {m: [each[o][m] for each in metrics] for m in metrics[0][o]} for o in metrics[0]},
    )
    final.notes.insert(0, _said(len(splits), by, len(rows)))
    if final.bundle.network.aligned:
        final.notes.append("how well aligned inputs find each other is not measured in folds: give a split for that")
    began, facts = time.monotonic(), {"name": name, "notes": final.notes, "folds": folds, "seconds": spent}
    try:
        report = build_report(final.bundle, table, final.prepared, rows, kept, **facts)
    except KeyboardInterrupt:  # what was learned is not lost with what it is worth
        final.bundle.report["training"]["interrupted"] = True
        final.notes.append("interrupted while it was judged: the model is whole, its figures are not there")
        return final, None
    spent["judging"] = round(time.monotonic() - began, 2)
    return final, report


def _reporting(found: Sequence[FoldResult]) -> Judging:
    """How long the report of all rows takes, by the metrics of the first fold, whose predictions are there."""
    began = time.monotonic()
    for outcomes in found[0].kept.values():
        for outcome in outcomes.values():
            judge(outcome)
    needed = (time.monotonic() - began) * sum(len(one.rows) for one in found) / len(found[0].rows)
    return lambda *_: needed


def _resume_hint(run: Path | None) -> str:
    if run is None:
        return "to go on from where it was, give a folder (to=...)"
    return "the same command with --resume (resume=True) goes on"


def _check(recipe: Recipe) -> None:
    if recipe.data.split is not None:
        raise RecipeError(
            f"data.folds: folds judge every row, and data.split: {recipe.data.split} says which rows do; leave one out"
        )
    if not recipe.outputs:
        raise RecipeError("data.folds: there is nothing to judge; name an output")
    if recipe.fusion.name == "auto":
        raise RecipeError(
            "data.folds: with fusion: auto the fusion would be chosen on rows that judge it; name one, such as what "
            "polyfuse compare finds best"
        )


def fold_splits(recipe: Recipe, table: Table) -> tuple[list[Splits], str]:
    """The rows of each fold's model: those that train and validate, and the fold, which tests; and what folds go by.

    Raises:
        RecipeError: not even two folds can be made.
    """
    data, seed, column = recipe.data, recipe.training.seed, next(o.column for o in recipe.outputs.values())
    assert data.folds is not None
    target = table.require(column)
    groups, line = row_groups(recipe, table), row_times(recipe, table)
    by = f"no {data.group!r} in two of them" if data.group else ""
    if line is not None:
        part_N = split_evenly(line.block_N, data.folds + 1)
        judged = [] if part_N is None else list(range(1, int(part_N.max()) + 1))
        by = ", ".join(filter(None, [f"each later by {data.order!r} than what its model saw", by]))
    else:
        part_N = fold_numbers(make_strata(target)[0], "category", groups, data.folds, seed)
        judged = [] if part_N is None else list(range(int(part_N.max()) + 1))
        by = ", ".join(filter(None, [f"stratified by {column!r}", by]))
    if part_N is None or (data.order is None and len(judged) < 2):
        what = f"groups of {data.group!r}" if data.group else f"instants of {data.order!r}" if data.order else "rows"
        raise RecipeError(f"data.folds: not even two folds of {what} can be made")
    found = []
    for fold in judged:
        others = (part_N >= 0) & (part_N < fold) if data.order is not None else part_N != fold
        sides = np.where(part_N == fold, 2, np.where(others, 0, -1))
        found.append(split_table(recipe, table, sides=sides))
    return found, by


def _final_splits(recipe: Recipe, table: Table, validated: bool) -> Splits:
    """All rows for the final model, some of them to validate where it needs that."""
    sides = np.zeros(len(table), np.int64)
    fractions = recipe.data.fractions if validated else (1.0, 0.0, 0.0)
    found = split_table(recipe, table, sides=sides, fractions=fractions)
    rows = len(found.train) + len(found.val)
    said = f", {len(found.val):,} of which choose its weights or weigh its members" if len(found.val) else ""
    return replace(found, notes=[f"the final model is made of all {rows:,} rows{said}"])


def _share(recipe: Recipe, started: float, left: int) -> Recipe:
    """The recipe of the next of so many fits, with its share of what is left of a time budget."""
    own = recipe.model_copy(deep=True)
    if own.training.time is not None:
        own.training.time = max((started + own.training.time - time.monotonic()) / left, 0.01)
    return own


def _fold_result(fitted: Fitted) -> FoldResult:
    if fitted.result.interrupted:  # a part of a training says nothing of the recipe
        raise KeyboardInterrupt
    recipe, rows = fitted.bundle.recipe, fitted.splits.test
    measuring = any(offers(registry.objective(o.name), WatchesValidation) for o in recipe.extra_losses)
    alone = fitted.bundle.network.ensemble is None and recipe.training.select == "last" and not measuring
    members = recipe.ensemble.members or recipe.ensemble.networks not in ("auto", 1)
    return FoldResult(
        rows, outcomes_by_inputs(fitted.bundle, fitted.table, fitted.prepared, rows), alone and not members
    )


# --- all folds together -----------------------------------------------------------------------------------------------


def _pool_rows(final: Fitted, found: Sequence[FoldResult]) -> tuple[np.ndarray, Kept]:
    """Every judged row in the order of the table, with what the model of its fold said."""
    rows = np.concatenate([one.rows for one in found])
    order = np.argsort(rows)
    weights = metric_weights(final.bundle.recipe, final.table, rows[order])
    kept: Kept = {}
    for inputs, outcomes in found[0].kept.items():
        kept[inputs] = {
            o: _concat_outcomes([one.kept[inputs][o] for one in found], _classes(final, o), order) for o in outcomes
        }
        kept[inputs] = {o: replace(outcome, weights=weights) for o, outcome in kept[inputs].items()}
    return rows[order], kept


def _classes(final: Fitted, output: str) -> list[Any] | None:
    return final.bundle.transforms[f"out:{output}"].facts().get("classes")


def _concat_outcomes(outcomes: Sequence[Outcome], classes: list[Any] | None, order: np.ndarray) -> Outcome:
    """Outcomes one after the other, then in order; a class that a fold's model never saw has no probability there."""
    known = None if classes is None else [*classes]
    for outcome in outcomes if known is not None else ():
        known += [label for label in outcome.classes or [] if label not in known]  # type: ignore[operator, misc]
    probabilities = scores = None
    if known is not None and all(outcome.probabilities is not None for outcome in outcomes):
        probabilities = np.concatenate([_spread(o, known) for o in outcomes])[order]
    if all(outcome.scores is not None and outcome.classes == known for outcome in outcomes):
        scores = np.concatenate([np.asarray(outcome.scores) for outcome in outcomes])[order]
    targets = [value for outcome in outcomes for value in outcome.target]
    values = [value for outcome in outcomes for value in outcome.value]
    target, value = ([side[at] for at in order] for side in (targets, values))
    first = outcomes[0]
    return replace(
        first, target=target, value=value, probabilities=probabilities, classes=known, scores=scores, weights=None
    )


def _spread(outcome: Outcome, classes: list[Any]) -> np.ndarray:
    found = np.zeros((len(outcome.target), len(classes)), np.float32)
    found[:, [classes.index(label) for label in outcome.classes or []]] = outcome.probabilities
    return found


def _calibrate(final: Fitted, kept: Kept) -> None:
    """Temperatures of a final model without validation rows, from what the folds' models said of rows unseen."""
    network, recipe = final.bundle.network, final.bundle.recipe
    if len(final.splits.val) or network.ensemble is not None or not recipe.training.calibrate:
        return
    for output, outcome in next(iter(kept.values())).items():
        head, rows = network.head(output), outcome.judged()
        if not offers(head, Tempered) or outcome.scores is None or len(rows) < FEW:
            continue
        codes = {label: code for code, label in enumerate(outcome.classes or [])}
        target = np.array([codes[outcome.target[row]] for row in rows])
        head.set_temperature(fit_temperature(outcome.scores[rows], target, outcome.judged_weights()))


def _said(folds: int, judging: str, rows: int) -> str:
    return (
        f"figures come from {folds} folds ({judging}): each of {rows:,} rows was judged once, by a model that did not "
        "see it"
    )


# --- kept for going on ------------------------------------------------------------------------------------------------


def _save_fold(place: Path | None, recipe: Recipe, judged: FoldResult) -> None:
    """What a fold's model said; it is there as a whole or not at all."""
    if place is None:
        return
    arrays: dict[str, np.ndarray] = {"rows": judged.rows}
    listed = []
    for at, (inputs, outcomes) in enumerate(judged.kept.items()):
        for output, outcome in outcomes.items():
            content = {key: getattr(outcome, key) for key in KEPT}
            listed.append({"inputs": inputs, "output": output, **content})
            for key in ("probabilities", "scores", "weights"):
                if (array := getattr(outcome, key)) is not None:
                    arrays[f"{at}:{output}:{key}"] = array
    place.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(place / "judged.npz", **arrays)  # type: ignore[arg-type]
    content = {"recipe": recipe.model_dump(mode="json"), "alone": judged.alone, "outcomes": listed}
    write_json(place / "judged.json", to_plain_json(content))


def _load_fold(place: Path, recipe: Recipe) -> FoldResult | None:
    """What a fold's model said before; None where it did not come to its end.

    Raises:
        RecipeError: it was made by another recipe.
    """
    if not (place / "judged.json").exists():
        return None
    content = json.loads((place / "judged.json").read_text(encoding="utf8"))
    if content["recipe"] != to_plain_json(recipe.model_dump(mode="json")):
        raise RecipeError(f"{place} was begun with another recipe: give the same again, or leave resume out")
    kept: Kept = {}
    with np.load(place / "judged.npz") as file:
        arrays, rows = {key: file[key] for key in file.files if key != "rows"}, file["rows"]
    for one in content["outcomes"]:
        inputs = tuple(one.pop("inputs"))
        output, at = one.pop("output"), len(kept) - (inputs in kept)
        own: dict[str, Any] = {
            key: arrays.get(f"{at}:{output}:{key}") for key in ("probabilities", "scores", "weights")
        }
        kept.setdefault(inputs, {})[output] = Outcome(**one, **own)
    return FoldResult(rows, kept, content["alone"])
