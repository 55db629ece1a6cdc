"""Trains all ensemble members: the network, once or once per fold, and the learners beside it.

Few rows leave no validation rows that could be trusted, so that each network trains without one fold of the rows and is
judged on it; together they answer as one. Where that would take too long, fewer folds get a network, and all are
weighed on these; where even two would, one network trains on the training rows, and all are weighed on validation rows.

Where rows are ordered in time, nothing is judged by what was fitted on later rows: learners go from fold to fold, and
networks train on the training rows and are judged on later ones.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.data.batches import Order, Rows, loader, most_shared_cell
from polyfuse.data.timeline import split_evenly
from polyfuse.learners.folds import fold_numbers
from polyfuse.model.network import Network
from polyfuse.recipe import EnsembleRecipe, Recipe, read_recipe
from polyfuse.training.ensemble import join_members
from polyfuse.training.resume import NETWORK, load_finished, remove_finished, save_finished
from polyfuse.training.speed import probe_deadline, step_seconds
from polyfuse.training.stacking import Features, candidate_members, fit_members, output_target
from polyfuse.training.train import Result, Split, planned_steps, train

FOLD_SECONDS = {
    "plain": 150.0,
    "scratch": 150.0,
    "starter": 150.0,
    "best": 900.0,
}  # of training, within which folds get a network each
SPARE = 0.9  # of the time that is left, shared among the networks
ROUNDS = 2  # of networks over all folds, each with seeds of its own, under the preset ``best``
LEARNERS_SHARE = 0.4  # of a time budget that learners may take
HURRIED = "the time budget was too short to try every member out of fold; give it more, or none"


@dataclass
class TrainedMembers:
    """All that answers, trained.

    Args:
        network: the first one, with its ensemble.
        report: output -> members with weight and loss out of fold.
    """

    network: Network
    result: Result
    notes: list[str] = field(default_factory=list)
    report: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass
class _Plan:
    """What is trained on what.

    Args:
        rows: that train or validate, ascending.
        fold_R: fold of each of them.
        make: seed -> a further network with fresh weights.
        forward: folds follow each other in time; rows of the oldest stretch are of fold -1, which only trains.
        judging: seconds that judging takes for each network, for which a time budget leaves room.
    """

    recipe: Recipe
    rows: Rows
    numbers: np.ndarray
    fold_R: np.ndarray
    split: Split
    make: Any
    run: Path | None
    resume: bool
    quiet: bool
    deadline: float | None
    forward: bool = False
    judging: float = 0.0


def train_together(
    network: Network,
    recipe: Recipe,
    rows: Rows,
    split: Split,
    make: Any,
    *,
    groups_R: np.ndarray | None,
    block_R: np.ndarray | None,
    spare: bool,
    run: Path | None,
    resume: bool,
    quiet: bool,
    deadline: float | None,
    judging: float = 0.0,
) -> TrainedMembers:
    """Train a network, and what answers beside it where the recipe wants that.

    Args:
        recipe: complete but for its members and the number of networks, which are written into it.
        rows: the whole table.
        make: seed -> another network of the recipe.
        groups_R: group of each row of the table; folds do not part them.
        block_R: stretch of time of each row of the table, where time counts; folds do not part them and follow each
            other.
        spare: leave the validation rows out of all, as no test rows are there to judge the model.
        judging: seconds that judging takes for each further network, within the deadline.
    """
    numbers = np.sort(split.train if spare else np.concatenate([split.train, split.val]))
    fold_R = _assign_folds(network, recipe, rows, numbers, groups_R, block_R) if _wants_folds(recipe, network) else None
    forward = block_R is not None
    plan = _Plan(recipe, rows, numbers, fold_R, split, make, run, resume, quiet, deadline, forward, judging)  # type: ignore[arg-type]
    if fold_R is None:
        return _train_alone(network, plan, _explain_no_folds(recipe, network))
    if spare:  # one network is judged on one fold, then: the latest, where time counts
        fold = fold_R.max() if forward else 0
        plan.split = Split(numbers[fold_R != fold], numbers[fold_R == fold])
    found = Features(network, rows, numbers)
    if not candidate_members(recipe, network, found) and recipe.ensemble.networks in ("auto", 1):
        return _train_alone(network, replace(plan, split=split))
    targets = {output: output_target(network, rows, output, numbers) for output in network.outputs}
    until = None if deadline is None else time.monotonic() + LEARNERS_SHARE * (deadline - time.monotonic())
    spoken = {
        output: fit_members(recipe, network, found, output, target, fold_R[found.places(target.rows)], until, forward)
        for output, target in targets.items()
    }
    hurried = [] if until is None or time.monotonic() < until else [HURRIED]
    count = _count_networks(network, plan)
    if plan.deadline is not None:
        plan.deadline -= (count - 1) * judging
    networks, results, judged = _train_networks(network, plan, count)
    result = _merge_results(results, forward)
    if result.interrupted:
        return TrainedMembers(networks[0], result, hurried)
    if run is not None:
        remove_finished(run)
    notes, report = join_members(recipe, rows, networks, judged, spoken, targets)
    return TrainedMembers(networks[0], result, hurried + notes, report)


def _wants_folds(recipe: Recipe, network: Network) -> bool:
    return bool(network.outputs) and (recipe.ensemble.members != [] or recipe.ensemble.networks not in ("auto", 1))


def _explain_no_folds(recipe: Recipe, network: Network) -> list[str]:
    """Why nothing is judged out of fold, where that was wanted."""
    if not _wants_folds(recipe, network):
        return []
    by = f"groups of {recipe.data.group!r}" if recipe.data.group else "rows"
    return [f"not even two folds of {by} can be made, so the network answers alone"]


def _train_alone(network: Network, plan: _Plan, notes: list[str] | None = None) -> TrainedMembers:
    options: dict[str, Any] = {"run": plan.run, "resume": plan.resume, "quiet": plan.quiet, "deadline": plan.deadline}
    result = train(network, plan.recipe, plan.rows, plan.split, **options)
    # only now: a run that is gone on with begins with the recipe as it was
    plan.recipe.ensemble = EnsembleRecipe(members=[], folds=plan.recipe.ensemble.folds, networks=1)
    return TrainedMembers(network, result, notes or [])


def _assign_folds(
    network: Network,
    recipe: Recipe,
    rows: Rows,
    numbers: np.ndarray,
    groups_R: np.ndarray | None,
    block_R: np.ndarray | None,
) -> np.ndarray | None:
    """Fold of each row, stratified by the first output; rows without its target are dealt out by chance.

    Where time counts, folds are stretches of it, and the oldest is fold -1.
    """
    if block_R is not None:
        made = split_evenly(block_R[numbers], recipe.ensemble.folds)
        return None if made is None else made - 1
    target = output_target(network, rows, network.outputs[0], numbers)
    known = np.isin(numbers, target.rows)
    seed, k = recipe.training.seed, recipe.ensemble.folds
    groups = None if groups_R is None else groups_R[target.rows]
    made = fold_numbers(target.values, target.task, groups, k, seed)
    if made is None:
        return None
    fold_R = np.random.default_rng(seed).integers(made.max() + 1, size=len(numbers))
    fold_R[known] = made
    return fold_R


def _count_networks(network: Network, plan: _Plan) -> int:
    """How many networks are trained: one per fold where that is quick enough, else without as many folds as it is."""
    folds, asked = int(plan.fold_R.max()) + 1, plan.recipe.ensemble.networks
    if asked != "auto":
        return int(asked)
    if plan.forward:  # more than one would train on the same rows
        return 1
    room = FOLD_SECONDS[plan.recipe.preset]
    if plan.deadline is not None:
        room = min(room, plan.deadline - time.monotonic())
    settings = plan.recipe.training
    share = most_shared_cell(plan.rows.inputs, plan.split.train)
    order = Order(plan.split.train, int(settings.batch_size), shuffle=True, seed=settings.seed, share=share)
    each = step_seconds(
        copy.deepcopy(network), plan.recipe, loader(plan.rows, order), until=probe_deadline(plan.deadline)
    )
    one = each * planned_steps(plan.recipe, len(order)) + plan.judging
    rounds = ROUNDS if plan.recipe.preset == "best" else 1
    return int(np.clip(room // one, 1, rounds * folds))


def _train_networks(
    network: Network, plan: _Plan, count: int
) -> tuple[list[Network], list[Result], list[tuple[np.ndarray, Network]]]:
    """The networks, what happened, and which rows each can be judged on."""
    options: dict[str, Any] = {"quiet": plan.quiet, "resume": plan.resume}
    if plan.run is not None:
        plan.run.mkdir(parents=True, exist_ok=True)
        (plan.run / "recipe.yaml").write_text(plan.recipe.to_yaml(), encoding="utf8")
    if count == 1:
        result = train(network, plan.recipe, plan.rows, plan.split, run=plan.run, deadline=plan.deadline, **options)
        return [network], [result], [(plan.split.val, network)]
    networks, results, judged = [], [], []
    for k in range(count):
        made = network if k == 0 else plan.make(plan.recipe.training.seed + k)
        held = plan.fold_R == k % (int(plan.fold_R.max()) + 1)  # a second round of folds has other seeds
        split = plan.split if plan.forward else Split(plan.numbers[~held], plan.numbers[held])
        own = plan.recipe.model_copy(deep=True)
        own.training.judge, own.training.calibrate = "loss", False
        own.training.select = own.training.select if plan.forward else "best"
        own.training.seed += k
        run = None if plan.run is None else plan.run / f"{NETWORK}{k}"
        deadline = None
        if plan.deadline is not None:
            deadline = time.monotonic() + SPARE * (plan.deadline - time.monotonic()) / (count - k)
            if k == 0 and plan.resume and run is not None and (run / "recipe.yaml").exists():
                before = read_recipe(run / "recipe.yaml").training
                own.training.steps, own.training.time = before.steps, None  # measured already
        facts = load_finished(run, made) if run is not None and plan.resume else None
        results.append(
            Result(**facts) if facts else train(made, own, plan.rows, split, run=run, deadline=deadline, **options)
        )
        networks.append(made)
        if plan.deadline is not None and k == 0:  # the others take as many, so that the recipe says it for all
            plan.recipe.training.steps, plan.recipe.training.time = own.training.steps, None
        if run is not None and not results[-1].interrupted:
            save_finished(run, made, results[-1].facts())
        judged.append((split.val, made))
        if results[-1].interrupted:
            break
    return networks, results, judged


def _merge_results(results: list[Result], forward: bool) -> Result:
    """What happened, over all networks."""
    if len(results) == 1:
        return results[0]
    kept = results[0].kept if forward else "the best on the fold that it did not see"
    known = [result.quality for result in results if result.quality is not None]
    return replace(
        results[0],
        steps=sum(result.steps for result in results),
        planned=sum(result.planned for result in results),
        unhurried=sum(result.unhurried for result in results),
        shortened=sum(result.shortened for result in results),
        seconds=round(sum(result.seconds for result in results), 2),
        kept=f"{len(results)} networks, each {kept}",
        quality=round(float(np.mean(known)), 5) if known else None,
        interrupted=results[-1].interrupted,
        history=[one for result in results for one in result.history],
    )
