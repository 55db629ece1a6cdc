"""One training of all that answers: the network, once or without each fold, and the learners beside it.

Few rows leave no validation rows that could be trusted, so that each network trains without one fold of the rows and is
judged on it; together they answer as one. Where that would take too long, fewer folds get a network, and all are
weighed on these; where even two would, one network trains on the training rows, and all are weighed on validation rows.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyfuse.data.batches import Order, Rows, loader, shared_cell
from polyfuse.learners.folds import fold_numbers
from polyfuse.learners.loss import row_losses, temperature
from polyfuse.model import Network
from polyfuse.recipe import EnsembleRecipe, MemberRecipe, Recipe, read_recipe
from polyfuse.training.resume import NETWORK, clear, keep_done, take_done
from polyfuse.training.speed import step_seconds
from polyfuse.training.stack import (
    Features,
    Target,
    Voice,
    candidates,
    ensemble_of,
    network_scores,
    target_of,
    voices,
    weighed,
)
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
FEW_JUDGED = 30  # rows below which weights are not worth fitting


@dataclass
class Trained:
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


def train_together(
    network: Network,
    recipe: Recipe,
    rows: Rows,
    split: Split,
    make: Any,
    *,
    groups_R: np.ndarray | None,
    spare: bool,
    run: Path | None,
    resume: bool,
    quiet: bool,
    deadline: float | None,
) -> Trained:
    """Train a network, and what answers beside it where the recipe wants that.

    Args:
        recipe: complete but for its members and the number of networks, which are written into it.
        rows: the whole table.
        make: seed -> another network of the recipe.
        groups_R: group of each row of the table; folds do not part them.
        spare: leave the validation rows out of all, as no test rows are there to judge the model.
    """
    numbers = np.sort(split.train if spare else np.concatenate([split.train, split.val]))
    fold_R = _folds(network, recipe, rows, numbers, groups_R) if _wanted(recipe, network) else None
    plan = _Plan(recipe, rows, numbers, fold_R, split, make, run, resume, quiet, deadline)  # type: ignore[arg-type]
    if fold_R is None:
        return _alone(network, plan, _unfolded(recipe, network))
    if spare:  # one network is judged on the first fold, then
        plan.split = Split(numbers[fold_R != 0], numbers[fold_R == 0])
    found = Features(network, rows, numbers)
    if not candidates(recipe, network, found) and recipe.ensemble.networks in ("auto", 1):
        return _alone(network, replace(plan, split=split))
    targets = {output: target_of(network, rows, output, numbers) for output in network.outputs}
    until = None if deadline is None else time.monotonic() + LEARNERS_SHARE * (deadline - time.monotonic())
    spoken = {
        output: voices(recipe, network, found, output, target, fold_R[found.places(target.rows)], until)
        for output, target in targets.items()
    }
    hurried = [] if until is None or time.monotonic() < until else [HURRIED]
    count = _count(network, plan)
    networks, results, judged = _networks(network, plan, count)
    result = _result(results)
    if result.interrupted:
        return Trained(networks[0], result, hurried)
    if run is not None:
        clear(run)
    return _joined(hurried, plan, networks, result, judged, spoken, targets)


def _wanted(recipe: Recipe, network: Network) -> bool:
    return bool(network.outputs) and (recipe.ensemble.members != [] or recipe.ensemble.networks not in ("auto", 1))


def _unfolded(recipe: Recipe, network: Network) -> list[str]:
    """Why nothing is judged out of fold, where that was wanted."""
    if not _wanted(recipe, network):
        return []
    by = f"groups of {recipe.data.group!r}" if recipe.data.group else "rows"
    return [f"not even two folds of {by} can be made, so the network answers alone"]


def _alone(network: Network, plan: _Plan, notes: list[str] | None = None) -> Trained:
    options: dict[str, Any] = {"run": plan.run, "resume": plan.resume, "quiet": plan.quiet, "deadline": plan.deadline}
    result = train(network, plan.recipe, plan.rows, plan.split, **options)
    # only now: a run that is gone on with begins with the recipe as it was
    plan.recipe.ensemble = EnsembleRecipe(members=[], folds=plan.recipe.ensemble.folds, networks=1)
    return Trained(network, result, notes or [])


def _folds(
    network: Network, recipe: Recipe, rows: Rows, numbers: np.ndarray, groups_R: np.ndarray | None
) -> np.ndarray | None:
    """Fold of each row, stratified by the first output; rows without its target are dealt out by chance."""
    target = target_of(network, rows, network.outputs[0], numbers)
    known = np.isin(numbers, target.rows)
    seed, k = recipe.training.seed, recipe.ensemble.folds
    groups = None if groups_R is None else groups_R[target.rows]
    made = fold_numbers(target.values, target.task, groups, k, seed)
    if made is None:
        return None
    fold_R = np.random.default_rng(seed).integers(made.max() + 1, size=len(numbers))
    fold_R[known] = made
    return fold_R


def _count(network: Network, plan: _Plan) -> int:
    """How many networks are trained: one per fold where that is quick enough, else without as many folds as it is."""
    folds, asked = int(plan.fold_R.max()) + 1, plan.recipe.ensemble.networks
    if asked != "auto":
        return int(asked)
    room = FOLD_SECONDS[plan.recipe.preset]
    if plan.deadline is not None:
        room = min(room, plan.deadline - time.monotonic())
    settings = plan.recipe.training
    share = shared_cell(plan.rows.inputs, plan.split.train)
    order = Order(plan.split.train, int(settings.batch_size), shuffle=True, seed=settings.seed, share=share)
    one = step_seconds(copy.deepcopy(network), plan.recipe, loader(plan.rows, order)) * planned_steps(
        plan.recipe, len(order)
    )
    rounds = ROUNDS if plan.recipe.preset == "best" else 1
    return int(np.clip(room // one, 1, rounds * folds))


def _networks(
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
        split = Split(plan.numbers[~held], plan.numbers[held])
        own = plan.recipe.model_copy(deep=True)
        own.training.select, own.training.judge, own.training.calibrate = "best", "loss", False
        own.training.seed += k
        run = None if plan.run is None else plan.run / f"{NETWORK}{k}"
        deadline = None
        if plan.deadline is not None and k == 0:
            if plan.resume and run is not None and (run / "recipe.yaml").exists():
                own.training.steps = read_recipe(run).training.steps  # measured already
            else:
                deadline = time.monotonic() + SPARE * (plan.deadline - time.monotonic()) / count
        facts = take_done(run, made) if run is not None and plan.resume else None
        results.append(
            Result(**facts) if facts else train(made, own, plan.rows, split, run=run, deadline=deadline, **options)
        )
        networks.append(made)
        if plan.deadline is not None and k == 0:  # the others take as many, so that the recipe says it for all
            plan.recipe.training.steps, plan.recipe.training.time = own.training.steps, None
        if run is not None and not results[-1].interrupted:
            keep_done(run, made, results[-1].facts())
        judged.append((split.val, made))
        if results[-1].interrupted:
            break
    return networks, results, judged


def _result(results: list[Result]) -> Result:
    """What happened, over all networks."""
    if len(results) == 1:
        return results[0]
    known = [result.quality for result in results if result.quality is not None]
    return replace(
        results[0],
        steps=sum(result.steps for result in results),
        planned=sum(result.planned for result in results),
        unhurried=sum(result.unhurried for result in results),
        seconds=round(sum(result.seconds for result in results), 2),
        kept=f"{len(results)} networks, each the best on the fold that it did not see",
        quality=round(float(np.mean(known)), 5) if known else None,
        interrupted=results[-1].interrupted,
    )


def _joined(
    notes: list[str],
    plan: _Plan,
    networks: list[Network],
    result: Result,
    judged: list[tuple[np.ndarray, Network]],
    spoken: Mapping[str, list[Voice]],
    targets: Mapping[str, Target],
) -> Trained:
    """The first network with all others and the learners beside it, weighed."""
    first, notes = networks[0], list(notes)
    kept: dict[str, list[Voice]] = {}
    temperatures: dict[str, float] = {}
    final: dict[str, tuple[list[Voice], np.ndarray]] = {}
    for output, target in targets.items():
        own, judged_R = _own_voice(output, target, judged, plan.rows)
        temperatures[output] = temperature(own.scores_RC[judged_R], target.values[judged_R], target.task)
        own.scores_RC = own.scores_RC / temperatures[output]
        if judged_R.any():
            own.loss = float(row_losses(own.scores_RC[judged_R], target.values[judged_R], target.task).mean())
        if judged_R.sum() < FEW_JUDGED:
            kept[output] = _evenly(own, spoken[output])
            notes.append(f"{output}: only {judged_R.sum()} rows could weigh its members, so they share evenly")
        else:
            kept[output] = weighed([own, *spoken[output]], target, judged_R)
        final[output] = kept[output], judged_R
    plan.recipe.ensemble = _settled(plan.recipe, kept, len(networks))
    if len(networks) > 1 or any(len(heard) > 1 for heard in kept.values()):
        first.ensemble = ensemble_of(networks[1:], kept, temperatures).to(next(first.parameters()).device)
        notes += [_said(output, heard, len(networks)) for output, heard in kept.items()]
    _calibrate(first, plan.recipe, final, targets)
    first.eval()
    return Trained(first, result, notes, {output: _facts(heard) for output, heard in kept.items()})


def _evenly(own: Voice, heard: list[Voice]) -> list[Voice]:
    """The network and the learner that was best out of fold, with the same weight."""
    best = sorted(heard, key=lambda voice: voice.loss if voice.loss is not None else np.inf)[:1]
    for voice in [own, *best]:
        voice.weight = 1 / (1 + len(best))
    return [own, *best]


def _own_voice(
    output: str, target: Target, judged: list[tuple[np.ndarray, Network]], rows: Rows
) -> tuple[Voice, np.ndarray]:
    """What the networks say of the rows that they did not see, and which rows of the target these are."""
    scores, times_R = None, np.zeros(len(target.rows))
    place = {int(row): at for at, row in enumerate(target.rows)}
    for numbers, network in judged:
        some = np.array([row for row in numbers if int(row) in place], np.int64)
        if not len(some):
            continue
        at = np.array([place[int(row)] for row in some])
        said = network_scores(network, rows, output, some)
        scores = np.zeros((len(target.rows), said.shape[1]), np.float32) if scores is None else scores
        scores[at] += said
        times_R[at] += 1
    if scores is None:
        scores = np.zeros((len(target.rows), target.classes), np.float32)
    mean_RC = scores / np.maximum(times_R, 1)[:, None].astype(np.float32)
    return Voice("network", [], mean_RC, np.ones(len(target.rows), bool)), times_R > 0


def _settled(recipe: Recipe, kept: Mapping[str, list[Voice]], count: int) -> EnsembleRecipe:
    """The ensemble as the recipe has it from now on."""
    members: list[MemberRecipe] = [v.member for heard in kept.values() for v in heard if v.member is not None]
    return EnsembleRecipe(members=members, folds=recipe.ensemble.folds, networks=count)


def _calibrate(
    network: Network,
    recipe: Recipe,
    final: Mapping[str, tuple[list[Voice], np.ndarray]],
    targets: Mapping[str, Target],
) -> None:
    """A temperature for what all say together, on the rows that weighed them."""
    for output, (heard, judged_R) in final.items():
        head, target = network.head(output), targets[output]
        if not recipe.training.calibrate or judged_R.sum() < 50:
            continue
        stacked = torch.from_numpy(np.stack([voice.scores_RC[judged_R] for voice in heard], 1))
        weight = torch.tensor([voice.weight for voice in heard]) * torch.from_numpy(
            np.stack([voice.present_R[judged_R] for voice in heard], 1)
        )
        total = weight.sum(1, keepdim=True)
        weight = torch.where(total > 0, weight / total.clamp_min(1e-9), torch.eye(len(heard))[0])
        together = head.combine(stacked, weight.float(), "mean").numpy()
        # a network that answers alone was calibrated when it was trained
        if network.ensemble is not None and hasattr(head, "set_temperature"):
            head.set_temperature(temperature(together, target.values[judged_R], target.task))
        if hasattr(head, "set_line") and (line := _line(head, together, target.values[judged_R])):
            head.set_line(*line)


def _line(head: Any, scores_R1: np.ndarray, values_R: np.ndarray) -> tuple[float, float] | None:
    """Offset and slope that bring numbers nearer to their mean, where they do so by more than one standard error."""
    said_R = np.asarray(head.decode(torch.from_numpy(scores_R1)).value)
    true_R = np.asarray(head.decode(torch.from_numpy(values_R[:, None].astype(np.float32))).value)
    spread = said_R.std()
    if not spread:
        return None
    slope = float(((said_R - said_R.mean()) * (true_R - true_R.mean())).mean() / spread**2)
    offset = float(true_R.mean() - slope * said_R.mean())
    gain_R = (true_R - said_R) ** 2 - (true_R - offset - slope * said_R) ** 2
    certain = slope > 0 and gain_R.mean() > gain_R.std() / np.sqrt(len(gain_R))
    return (offset, slope) if certain else None


def _name(voice: Voice, networks: int) -> str:
    if voice.member is None:
        return "the network" if networks == 1 else f"{networks} networks"
    return f"{voice.name} on {' + '.join(voice.inputs)}"


def _said(output: str, heard: list[Voice], networks: int) -> str:
    shares = ", ".join(f"{_name(v, networks)} {v.weight:.0%}" for v in sorted(heard, key=lambda v: -v.weight))
    return f"{output} is answered together, weighed out of fold: {shares}"


def _facts(heard: list[Voice]) -> list[dict[str, Any]]:
    return [
        {"member": voice.name, "inputs": voice.inputs, "weight": round(voice.weight, 4), "loss": voice.loss}
        for voice in heard
    ]
