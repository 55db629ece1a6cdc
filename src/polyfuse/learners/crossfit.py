"""Chooses a learner's settings by cross-validation and gives its out-of-fold predictions.

Wolpert, Stacked generalization, Neural Networks 1992. Letters: R rows, C classes (1 for a number).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from polyfuse import registry
from polyfuse.learners.base import Learner, Setting
from polyfuse.learners.blocks import Rows, is_sparse, predict_scores, select_rows
from polyfuse.learners.loss import mean_one_weights, row_losses, temperature, weights_of_rows

PATIENCE = 2  # settings of a path in a row that are worse than its best end it
NOISE = 0.5  # standard errors by which a more regular setting may lose and still be taken
REFIT = 1.4  # seconds of the last fit on all rows, in those of the slowest fold


@dataclass
class CrossFitted:
    """What cross-fitting gives.

    Args:
        learner: fitted on all rows under the chosen setting; its scores are calibrated.
        scores_RC: calibrated scores of each row by a learner that did not see it; NaN in rows that were never held out.
        loss: mean loss of those.
        setting: the chosen one.
        temperature: by which raw scores were divided.
        seconds: it all took.
    """

    learner: Learner
    scores_RC: np.ndarray
    loss: float
    setting: Setting
    temperature: float
    seconds: float


@dataclass
class _Trial:
    setting: Setting
    scores_RC: np.ndarray
    losses_R: np.ndarray
    temperature: float


def cross_fit(
    name: str,
    blocks: Sequence[Rows],
    target: np.ndarray,
    task: str,
    classes: int,
    folds_R: np.ndarray,
    *,
    seed: int,
    deadline: float | None = None,
    settings: Sequence[Setting] | None = None,
    weights: np.ndarray | None = None,
    forward: bool = False,
) -> CrossFitted | None:
    """Tries a learner's settings out of fold, the most regular first, and fits the best on all rows.

    A setting counts as best only where it wins by more than noise; of two as good, the more regular is taken.

    Args:
        name: in ``registry.LEARNERS``.
        blocks: features, float arrays (R, F) or ``csr_matrix`` (R, F).
        target: class codes (R,), labels (R, C) of 0 and 1, or standardised numbers (R,).
        task: ``category``, ``labels`` or ``number``.
        classes: C; 1 for a number.
        folds_R: fold of each row; -1 for rows that are always trained on.
        seed: of everything random.
        deadline: ``time.monotonic()`` by which to be done; settings that would not fit are not tried.
        settings: to try instead of the learner's own candidates.
        weights: of each row (R,), 0 and above, in fitting and judging.
        forward: folds follow each other in time, so that each is judged by what was fitted on earlier ones alone.

    Returns:
        The result, or None where the learner has no setting for this size, or not one fits before the deadline.

    Raises:
        ValueError: blocks that the learner cannot take, or fewer than two folds.
    """
    started = time.monotonic()
    kind = registry.learner(name)
    folds = np.unique(folds_R[folds_R >= 0])
    first = folds_R < folds[0] if len(folds) and forward else folds_R != folds[0] if len(folds) else folds_R < 0
    if len(folds) == 0 or not first.any():
        raise ValueError("cross_fit: no row is trained on while another is held out; fold_numbers gives folds, or None")
    if settings is None:
        settings = _candidates(kind, blocks, task, classes)
    until = np.inf if deadline is None else deadline
    race = _Race(kind, blocks, target, task, classes, folds_R, seed, until, weights, forward)
    for _, path in groupby(settings, key=lambda s: {k: v for k, v in s.items() if k != kind.along}):
        race.run(list(path))
    if not race.trials:
        return None
    best = _best(race.trials)
    learner = kind.fitted(blocks, target, task, classes, seed=seed, weights=weights, **best.setting)
    learner.temperature.fill_(best.temperature)
    found_RC = np.full((len(folds_R), classes), np.nan)
    found_RC[folds_R >= 0] = best.scores_RC / best.temperature
    loss, seconds = float(best.losses_R.mean()), time.monotonic() - started
    return CrossFitted(learner, found_RC, loss, best.setting, best.temperature, seconds)


def _candidates(kind: type[Learner], blocks: Sequence[Rows], task: str, classes: int) -> list[Setting]:
    mixed = len({is_sparse(b) for b in blocks}) == 2
    return kind.candidates(task, blocks[0].shape[0], sum(b.shape[1] for b in blocks), classes, mixed=mixed)


def _best(trials: list[_Trial]) -> _Trial:
    """The first, hence most regular, that is not worse than the best by more than noise."""
    best = min(trials, key=lambda t: t.losses_R.mean())
    for trial in trials:
        gap_R = trial.losses_R - best.losses_R
        if gap_R.mean() <= NOISE * gap_R.std() / np.sqrt(len(gap_R)):
            return trial
    return best


@dataclass
class _Race:
    """Settings tried one after the other, as long as time lasts."""

    kind: type[Learner]
    blocks: Sequence[Rows]
    target: np.ndarray
    task: str
    classes: int
    folds_R: np.ndarray
    seed: int
    deadline: float
    weights: np.ndarray | None = None
    forward: bool = False

    def __post_init__(self) -> None:
        self.trials: list[_Trial] = []
        self.folds = [int(f) for f in np.unique(self.folds_R[self.folds_R >= 0])]
        self.slowest, self.round, self.over = 0.0, 0.0, False

    def run(self, settings: list[Setting]) -> None:
        """Tries settings that share work, until they only get worse."""
        paths, spent = [self._path(fold, settings) for fold in self.folds], [0.0] * len(self.folds)
        losses: list[float] = []
        for setting in settings:
            if self.over or (scores_RC := self._held_out(paths, spent)) is None:
                return
            self.trials.append(self._trial(setting, scores_RC))
            losses.append(float(self.trials[-1].losses_R.mean()))
            if len(losses) - 1 - int(np.argmin(losses)) >= PATIENCE:
                return

    def _path(self, fold: int, settings: list[Setting]) -> Iterator[Learner]:
        rows = self.folds_R < fold if self.forward else self.folds_R != fold
        blocks, target, weights = select_rows(self.blocks, rows), self.target[rows], weights_of_rows(self.weights, rows)
        return self.kind.path(blocks, target, self.task, self.classes, settings, seed=self.seed, weights=weights)

    def _held_out(self, paths: list[Iterator[Learner]], spent: list[float]) -> np.ndarray | None:
        """The next setting's scores of every held-out row, or None when they would come too late."""
        found_RC = np.empty((len(self.folds_R), self.classes))
        for number, (fold, path) in enumerate(zip(self.folds, paths, strict=True)):
            if self._late(len(paths) - number):
                self.over = True
                return None
            started, held_R = time.monotonic(), self.folds_R == fold
            found_RC[held_R] = predict_scores(next(path), select_rows(self.blocks, held_R))
            self.round = time.monotonic() - started
            spent[number] += self.round
            self.slowest = max(self.slowest, spent[number])
        return found_RC[self.folds_R >= 0]

    def _late(self, folds: int) -> bool:
        """Whether so many folds and the last fit would end after the deadline, as far as one can tell."""
        return time.monotonic() + folds * self.round + REFIT * self.slowest >= self.deadline

    def _trial(self, setting: Setting, scores_RC: np.ndarray) -> _Trial:
        held_R = self.folds_R >= 0
        target, weights = self.target[held_R], weights_of_rows(self.weights, held_R)
        heat = temperature(scores_RC, target, self.task, weights)
        losses_R = row_losses(scores_RC / heat, target, self.task)
        return _Trial(setting, scores_RC, losses_R * mean_one_weights(weights, len(losses_R)), heat)
