"""Builds the ensemble of networks and learners: weights and calibration on out-of-fold rows.

Numbers are brought nearer to their mean by a line where that helps for certain: what is learnt on a logarithmic scale,
or by a robust loss, is nearer to a median.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from polyfuse.contracts import Lined, Tempered, offers
from polyfuse.data.batches import Rows
from polyfuse.errors import format_count
from polyfuse.learners.loss import mean_one_weights, row_losses, temperature, weights_of_rows
from polyfuse.model.network import Network
from polyfuse.recipe import EnsembleRecipe, MemberRecipe, Recipe
from polyfuse.system.device import device_of
from polyfuse.training.stacking import FittedMember, Target, build_ensemble, network_scores, weigh_members

FEW_JUDGED = 30  # rows below which weights are not worth fitting


def join_members(
    recipe: Recipe,
    rows: Rows,
    networks: list[Network],
    judged: list[tuple[np.ndarray, Network]],
    spoken: Mapping[str, list[FittedMember]],
    targets: Mapping[str, Target],
) -> tuple[list[str], dict[str, list[dict[str, Any]]]]:
    """Give the first network all others and the learners, weighed; the recipe learns who stays.

    Args:
        judged: rows and a network that did not see them.
        spoken: output -> learners, judged on all rows of its target.

    Returns:
        Notes; and output -> members with weight and loss out of fold.
    """
    first, notes = networks[0], []
    kept: dict[str, list[FittedMember]] = {}
    temperatures: dict[str, float] = {}
    final: dict[str, tuple[list[FittedMember], np.ndarray]] = {}
    for output, target in targets.items():
        own, judged_R = _network_member(output, target, judged, rows)
        weights = weights_of_rows(target.weights, judged_R)
        temperatures[output] = temperature(own.scores_RC[judged_R], target.values[judged_R], target.task, weights)
        own.scores_RC = own.scores_RC / temperatures[output]
        if judged_R.any():
            losses_R = row_losses(own.scores_RC[judged_R], target.values[judged_R], target.task)
            own.loss = float((losses_R * mean_one_weights(weights, len(losses_R))).mean())
        if judged_R.sum() < FEW_JUDGED:
            kept[output] = _equal_weights(own, spoken[output])
            few = format_count(int(judged_R.sum()), "row")
            notes.append(f"{output}: only {few} could weigh its members, so they share evenly")
        else:
            kept[output] = weigh_members([own, *spoken[output]], target, judged_R)
        final[output] = kept[output], judged_R
    recipe.ensemble = _ensemble_recipe(recipe, kept, len(networks))
    if len(networks) > 1 or any(len(heard) > 1 for heard in kept.values()):
        first.ensemble = build_ensemble(networks[1:], kept, temperatures).to(device_of(first))
        notes += [_note_members(output, heard, len(networks)) for output, heard in kept.items()]
    _calibrate(first, recipe, final, targets)
    first.eval()
    return notes, {output: _member_facts(heard) for output, heard in kept.items()}


def _equal_weights(own: FittedMember, heard: list[FittedMember]) -> list[FittedMember]:
    """The network and the learner that was best out of fold, with the same weight."""
    best = sorted(heard, key=lambda voice: voice.loss if voice.loss is not None else np.inf)[:1]
    for voice in [own, *best]:
        voice.weight = 1 / (1 + len(best))
    return [own, *best]


def _network_member(
    output: str, target: Target, judged: list[tuple[np.ndarray, Network]], rows: Rows
) -> tuple[FittedMember, np.ndarray]:
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
    return FittedMember("network", [], mean_RC, np.ones(len(target.rows), bool)), times_R > 0


def _ensemble_recipe(recipe: Recipe, kept: Mapping[str, list[FittedMember]], count: int) -> EnsembleRecipe:
    """The ensemble as the recipe has it from now on."""
    members: list[MemberRecipe] = [v.member for heard in kept.values() for v in heard if v.member is not None]
    return EnsembleRecipe(members=members, folds=recipe.ensemble.folds, networks=count)


def _calibrate(
    network: Network,
    recipe: Recipe,
    final: Mapping[str, tuple[list[FittedMember], np.ndarray]],
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
        rows = weights_of_rows(target.weights, judged_R)
        if network.ensemble is not None and offers(head, Tempered):
            head.set_temperature(temperature(together, target.values[judged_R], target.task, rows))
        if offers(head, Lined) and (line := _fit_line(head, together, target.values[judged_R], rows)):
            head.set_line(*line)


def _fit_line(
    head: Any, scores_R1: np.ndarray, values_R: np.ndarray, weights_R: np.ndarray | None
) -> tuple[float, float] | None:
    """Offset and slope that bring numbers nearer to their mean, where they do so by more than one standard error."""
    said_R = np.asarray(head.decode(torch.from_numpy(scores_R1)).value)
    true_R = np.asarray(head.decode(torch.from_numpy(values_R[:, None].astype(np.float32))).value)
    share_R = mean_one_weights(weights_R, len(said_R))
    said, true = (share_R * said_R).mean(), (share_R * true_R).mean()
    spread = (share_R * (said_R - said) ** 2).mean()
    if not spread:
        return None
    slope = float((share_R * (said_R - said) * (true_R - true)).mean() / spread)
    offset = float(true - slope * said)
    gain_R = share_R * ((true_R - said_R) ** 2 - (true_R - offset - slope * said_R) ** 2)
    certain = slope > 0 and gain_R.mean() > gain_R.std() / np.sqrt(len(gain_R))
    return (offset, slope) if certain else None


def _member_name(voice: FittedMember, networks: int) -> str:
    if voice.member is None:
        return "the network" if networks == 1 else f"{networks} networks"
    return f"{voice.name} on {' + '.join(voice.inputs)}"


def _note_members(output: str, heard: list[FittedMember], networks: int) -> str:
    shares = ", ".join(f"{_member_name(v, networks)} {v.weight:.0%}" for v in sorted(heard, key=lambda v: -v.weight))
    return f"{output} is answered together, weighed out of fold: {shares}"


def _member_facts(heard: list[FittedMember]) -> list[dict[str, Any]]:
    return [
        {"member": voice.name, "inputs": voice.inputs, "weight": round(voice.weight, 4), "loss": voice.loss}
        for voice in heard
    ]
