"""Stacking: fits learners beside the network, scores them out of fold, and weighs them against it.

Every row that trains or validates is answered by members that did not see it; on these answers the weights are chosen.
Wolpert, Stacked generalization, Neural Networks 1992; Caruana et al., Ensemble selection, ICML 2004.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from polyfuse import registry
from polyfuse.contracts import says
from polyfuse.data.batches import Order, Rows, loader
from polyfuse.learners.blocks import concat_batches
from polyfuse.learners.crossfit import CrossFitted, cross_fit
from polyfuse.learners.loss import weights_of_rows
from polyfuse.learners.selection import select_weights
from polyfuse.model.ensemble import Ensemble, LearnerMember, features, has_features
from polyfuse.model.inference import predict
from polyfuse.model.network import Network
from polyfuse.recipe import MemberRecipe, Recipe
from polyfuse.system.device import device_of

CHUNK = 256  # rows whose features are made at once
LEAST = 0.03  # weight below which a member is not worth its place
SMALL = 64  # dense features up to which trees are tried on other things than columns
TREES = ("forest", "boosting")


@dataclass
class FittedMember:
    """A fitted member with its out-of-fold scores on one output.

    Args:
        scores_RC: what it says of the judged rows.
        present_R: rows that it has anything to say of.
        member: as the recipe names it; None for the networks.
        learner: fitted on all rows; None for the networks.
    """

    name: str
    inputs: list[str]
    scores_RC: np.ndarray
    present_R: np.ndarray
    member: MemberRecipe | None = None
    learner: nn.Module | None = None
    weight: float = 0.0
    loss: float | None = None
    readers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """An output's targets in some rows.

    Args:
        task: as what learners take it: ``category``, ``labels`` or ``number``.
        rows: row numbers that have one.
        values: class numbers, multi-hot rows, or standardised numbers.
        weights: of each of these rows, where the table gives any.
    """

    task: str
    rows: np.ndarray
    values: np.ndarray
    classes: int
    weights: np.ndarray | None = None


def output_target(network: Network, rows: Rows, output: str, numbers: np.ndarray) -> Target:
    """The targets of an output in those of some rows that have one."""
    prepared = rows.outputs[output]
    at = prepared.index_RK[numbers, 0]
    known = numbers[at >= 0]
    values = prepared.transform.collate([prepared.cells[k] for k in at[at >= 0]])["target"]
    facts = prepared.transform.facts()
    head = network.head(output)
    return Target(
        says(head, "learnt_as") or head.task,
        known,
        np.asarray(values),
        len(facts.get("classes", ())) or 1,
        weights_of_rows(rows.weights_R, known),
    )


class Features:
    """What readers say of rows before any training, each computed once.

    Args:
        numbers: rows that may be asked for.
    """

    def __init__(self, network: Network, rows: Rows, numbers: np.ndarray):
        self.network, self.rows, self.numbers = network, rows, numbers
        self.readers = [r for r in network.readers if has_features(network, r)]
        self._place = {int(row): at for at, row in enumerate(numbers)}
        self._kept: dict[str, Any] = {}

    def of(self, reader: str, rows: np.ndarray) -> Any:
        """(R, F) float32, or a sparse matrix of that shape."""
        if reader not in self._kept:
            self._kept[reader] = self._made(reader)
        return self._kept[reader][self.places(rows)]

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Where rows stand among ``numbers``."""
        return np.array([self._place[int(row)] for row in rows], np.int64)

    def present(self, readers: Sequence[str], rows: np.ndarray) -> np.ndarray:
        """Rows in which one of some readers has a cell."""
        return np.any([(self.rows.inputs[r].index_RK[rows] >= 0).any(1) for r in readers], axis=0)

    def _made(self, reader: str) -> Any:
        alone = Rows({reader: self.rows.inputs[reader]}, {}, self.rows.count)
        device, training = device_of(self.network), self.network.training
        self.network.eval()
        with torch.inference_mode():
            batches = loader(alone, Order(self.numbers, CHUNK))
            found = [features(self.network, reader, b.inputs[reader].to(device)) for b in batches]
        self.network.train(training)
        return concat_batches([block.to("cpu") for block in found])


def candidate_members(recipe: Recipe, network: Network, found: Features) -> list[MemberRecipe]:
    """The members to try: those that the recipe names, or what suits each input and all of them together."""
    if recipe.ensemble.members is not None:
        return recipe.ensemble.members
    known = {name: [r for r in own if r in found.readers] for name, own in network.reads.items()}
    heard = [name for name, own in known.items() if own]
    asked = [MemberRecipe(name=learner, inputs=[n]) for n in heard for learner in _suitable_members(recipe, n)]
    return asked + ([MemberRecipe(name="linear", inputs=heard)] if len(heard) > 1 else [])


def _suitable_members(recipe: Recipe, name: str) -> list[str]:
    modality = recipe.inputs[name].modality
    return ["linear", *(TREES if modality in ("columns", "vector") else ()), "svm"]


def fit_members(
    recipe: Recipe,
    network: Network,
    found: Features,
    output: str,
    target: Target,
    fold_R: np.ndarray,
    deadline: float | None,
    forward: bool = False,
) -> list[FittedMember]:
    """The learners of an output, each fitted on all its rows and judged on rows that it did not see.

    Args:
        fold_R: fold of each row of ``target``.
        deadline: ``time.monotonic()`` after which no further one is begun.
        forward: folds follow each other in time, and none is judged by what was fitted on later ones.
    """
    made = []
    for member in candidate_members(recipe, network, found):
        if member.output in (None, output) and (deadline is None or time.monotonic() < deadline):
            voice = _fit_member(member, recipe, network, found, output, target, fold_R, deadline, forward)
            made += [voice] if voice is not None else []
    return made


def _fit_member(
    member: MemberRecipe,
    recipe: Recipe,
    network: Network,
    found: Features,
    output: str,
    target: Target,
    fold_R: np.ndarray,
    deadline: float | None,
    forward: bool,
) -> FittedMember | None:
    learner = registry.learner(member.name)
    readers = member.readers or [r for n in member.inputs for r in network.reads[n] if r in found.readers]
    there_R = found.present(readers, target.rows) if readers else np.zeros(len(target.rows), bool)
    rows = target.rows[there_R]
    blocks = [(reader, found.of(reader, rows)) for reader in readers]
    blocks = [(r, b) for r, b in blocks if learner.sparse or isinstance(b, np.ndarray)]
    heard_R = fold_R[there_R]
    held = np.unique(heard_R[heard_R >= 0])
    if not blocks or len(rows) < 2 or (forward and not (len(held) and (heard_R < held[0]).any())):
        return None
    crossed: CrossFitted | None = cross_fit(
        member.name,
        [block for _, block in blocks],
        target.values[there_R],
        target.task,
        target.classes,
        heard_R,
        seed=recipe.training.seed,
        deadline=deadline,
        settings=[member.keywords] if member.keywords else None,
        weights=weights_of_rows(target.weights, there_R),
        forward=forward,
    )
    if crossed is None:
        return None
    scores_RC = np.zeros((len(target.rows), crossed.scores_RC.shape[1]), np.float32)
    judged_R = there_R & (fold_R >= 0)  # the oldest rows are judged by nobody, where time counts
    scores_RC[judged_R] = crossed.scores_RC[fold_R[there_R] >= 0]
    used = [reader for reader, _ in blocks]
    settled = MemberRecipe(name=member.name, inputs=member.inputs, readers=used, output=output, **crossed.setting)
    return FittedMember(
        member.name, member.inputs, scores_RC, judged_R, settled, crossed.learner, loss=crossed.loss,
        readers=used,
    )  # fmt: skip


def network_scores(network: Network, rows: Rows, output: str, numbers: np.ndarray) -> np.ndarray:
    """What a network says of some rows (R, C), uncalibrated."""
    plain = Rows(rows.inputs, {}, rows.count, views=rows.views)
    scores = predict(network, plain, numbers=numbers, outputs=[output])[output].scores
    assert scores is not None
    return scores.float().numpy()


def weigh_members(heard: list[FittedMember], target: Target, judged_R: np.ndarray) -> list[FittedMember]:
    """Those that help, with their weights; the networks, which come first, always stay.

    Args:
        judged_R: rows in which all were judged out of fold.
    """
    kept = heard
    for _ in range(2):  # once more among those that stay, so that the same recipe fitted again weighs the same
        scores = [voice.scores_RC[judged_R] for voice in kept]
        present = np.stack([voice.present_R[judged_R] for voice in kept])
        rows = weights_of_rows(target.weights, judged_R)
        weights = select_weights(scores, present, target.values[judged_R], target.task, weights=rows)
        for voice, weight in zip(kept, weights, strict=True):
            voice.weight = float(weight)
        kept = [voice for voice in kept if voice.member is None or voice.weight >= LEAST]
    return kept


def build_ensemble(
    networks: Sequence[nn.Module], kept: Mapping[str, list[FittedMember]], temperatures: Mapping[str, float]
) -> Ensemble:
    """The ensemble of further networks and of the learners that stay, per output."""
    opinions, weights = [], {}
    for output, heard in kept.items():
        total = sum(voice.weight for voice in heard) or 1.0
        weights[output] = [voice.weight / total for voice in heard]
        for voice in heard[1:]:
            assert voice.learner is not None
            opinions.append(LearnerMember(voice.learner, output, voice.readers))
    return Ensemble(networks, opinions, list(kept), temperatures, weights)
