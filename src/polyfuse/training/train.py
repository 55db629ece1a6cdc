"""Training of a network on Lightning: from a completed recipe and prepared rows to trained weights."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader

from polyfuse.contracts import Tempered, offers
from polyfuse.data.batches import Order, Rows, loader, most_shared_cell
from polyfuse.metrics.calibration import fit_temperature
from polyfuse.model.inference import BATCH, predict
from polyfuse.model.network import Network
from polyfuse.recipe import Recipe
from polyfuse.system.device import device_of, place, trainer_options
from polyfuse.training.callbacks import Average, Bar, Epochs, History, Interruptible, KeepBest, Pace, Resumable
from polyfuse.training.learner import Learner
from polyfuse.training.loggers import build
from polyfuse.training.resume import CHECKPOINT, steps_taken
from polyfuse.training.reward import forget_targets, give_targets, stage_starts
from polyfuse.training.speed import affordable_steps

VALIDATIONS = 40  # at most so many passes over the validation rows


@dataclass(frozen=True)
class Result:
    """The result of a training.

    Args:
        steps, planned: taken, and those of the schedule.
        unhurried: those of the schedule without a time budget.
        seconds: of training.
        kept: which weights, and why.
        quality: on validation.
        history: of each network, ``steps`` with the ``loss`` of training, and ``val_steps`` with ``val_loss`` and
            ``val_quality``.
        shortened: steps of the schedule that a slower machine left out, for a time budget to hold.
    """

    steps: int
    planned: int
    unhurried: int
    seconds: float
    kept: str
    quality: float | None
    interrupted: bool
    shortened: int = 0
    history: list[dict[str, list[float | None]]] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Split:
    """Row numbers for training and validation; the latter may be empty."""

    train: np.ndarray
    val: np.ndarray


def train(
    network: Network,
    recipe: Recipe,
    rows: Rows,
    split: Split,
    *,
    run: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    deadline: float | None = None,
) -> Result:
    """Train a network in place.

    Args:
        recipe: complete; with ``training.time`` set its ``training.steps`` is measured and written into it.
        rows: the whole table; augmentation is taken off for validation.
        run: folder for checkpoints and TensorBoard event files; none are written without it.
        resume: go on from the run's last checkpoint, if there is one.
        quiet: no progress bar.
        deadline: ``time.monotonic()`` by which training must be over, for a time budget; steps that a budget has
            fixed already are not measured again.
    """
    settings = recipe.training
    share = most_shared_cell(rows.inputs, split.train)
    order = Order(
        split.train, int(settings.batch_size), shuffle=True, seed=settings.seed, share=share, origin=rows.origin_R
    )
    batches = loader(rows, order, settings.workers)
    unhurried = planned_steps(recipe, len(order))
    if unhurried == 0:
        return _untrained_result(network)
    give_targets(network, recipe, rows, split.train, split.val)
    if deadline is not None and settings.time is not None:
        settings.steps = affordable_steps(network, recipe, batches, unhurried, bool(len(split.val)), deadline)
        settings.time = None
    total = planned_steps(recipe, len(order))
    plain = replace(rows, augment={})
    training = _Run(network, recipe, total, -(-total // len(order)), plain, split.val, deadline)
    started = time.monotonic()
    training.fit(batches, order, run, resume, quiet)
    training.finish(run)
    forget_targets(network)
    if training.shortened:
        settings.steps = training.steps
    return training.result(time.monotonic() - started, unhurried)


def _untrained_result(network: Network) -> Result:
    """No step is to be taken: the network answers as its parts came."""
    network.eval()
    return Result(0, 0, 0, 0.0, "as its parts came: no step was to be taken", None, interrupted=False)


class _Run:
    """One training: what watches it, and what is kept of it.

    Args:
        total, epochs: of the whole schedule.
        plain: the rows without augmentation, for validation.
        deadline: see ``train``.
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        total: int,
        epochs: int,
        plain: Rows,
        val: np.ndarray,
        deadline: float | None = None,
    ):
        self.network, self.recipe, self.total, self.plain, self.val = network, recipe, total, plain, val
        self.learner, self.interrupt = Learner(network, recipe, total), Interruptible()
        self.every = max(1, -(-epochs // VALIDATIONS)) if len(val) else 0
        settings = recipe.training
        selecting = settings.select == "best" and self.every
        patience = max(3, round(settings.patience * epochs / self.every)) if selecting else 0
        self.best = KeepBest(patience, stage_starts(network)[-1] * total) if selecting else None
        self.history = History(total)
        self.average = Average(settings.average * total) if settings.average else None
        self.pace = None if deadline is None else Pace(total, deadline)
        self.steps = self.shortened = 0

    def fit(self, batches: DataLoader, order: Order, run: Path | None, resume: bool, quiet: bool) -> None:
        """Train, from the run's checkpoint where there is one and it is wanted."""
        last = run / CHECKPOINT if run is not None else None
        watching: list[L.Callback] = [self.interrupt, Epochs(order), self.history, *([self.best] if self.best else [])]
        watching += [self.average] if self.average else []  # behind what keeps the best, which copies the averages
        watching += [self.pace] if self.pace else []
        watching += [] if quiet else [Bar(self.total, self.best)]
        if run is not None:
            watching.append(Resumable(run, self.recipe.training.checkpoint))
            run.mkdir(parents=True, exist_ok=True)
            (run / "recipe.yaml").write_text(self.recipe.to_yaml(), encoding="utf8")
        device = device_of(self.network)
        self.network.train()  # Lightning keeps the mode that it finds
        with _silence_lightning():
            trainer = _trainer(self.recipe, self.total, watching, run, self.every, device)
            checks = (
                loader(self.plain, Order(shuffle_validation_rows(self.network, self.val), BATCH))
                if self.every
                else None
            )
            path = str(last) if resume and last is not None and last.exists() else None
            # worker processes ask for rows before any callback is heard
            order.at_step(steps_taken(last) if path and last else 0)
            with self.interrupt.listening():
                trainer.fit(self.learner, batches, checks, ckpt_path=path)
        place(self.network, device)  # Lightning leaves it on the processor
        self.steps = trainer.global_step
        if self.pace is not None and self.pace.hurried and not self.interrupt.interrupted:
            self.shortened = self.total - self.steps

    def finish(self, run: Path | None) -> None:
        """The weights to keep, calibrated; a run that came to its end needs its checkpoint no more."""
        self.learner.unfreezer.release()
        if self.best and self.best.weights:
            self.network.load_state_dict(self.best.weights)
        elif self.average:
            self.average.put(self.network)
        if self.recipe.training.calibrate and self.every:
            calibrate(self.network, self.plain, self.val)
        self.network.eval()
        if run is not None and not self.interrupt.interrupted:
            (run / CHECKPOINT).unlink(missing_ok=True)

    def result(self, seconds: float, unhurried: int) -> Result:
        """The result of a training."""
        best = self.best if self.best and self.best.weights else None
        quality = self.learner.quality if self.best is None else self.best.quality
        return Result(
            steps=self.steps,
            planned=self.total,
            unhurried=unhurried,
            seconds=round(seconds, 2),
            kept=f"best on validation, of step {best.step}" if best else "last of the schedule",
            quality=round(quality, 5) if np.isfinite(quality) else None,
            interrupted=self.interrupt.interrupted,
            history=[self.history.found],
            shortened=self.shortened,
        )


def shuffle_validation_rows(network: Network, numbers: np.ndarray) -> np.ndarray:
    """Rows to validate on, in an order by which a batch is no list's own where inputs are aligned.

    Captions of one picture stand in a row: in their order 512 of them would be compared over 100 pictures alone.
    """
    return np.random.default_rng(0).permutation(numbers) if network.aligned else numbers


def planned_steps(recipe: Recipe, per_epoch: int) -> int:
    """Steps of the whole schedule: the recipe's own number, or its epochs."""
    settings = recipe.training
    if isinstance(settings.steps, int):
        return settings.steps
    return max(1, round(float(settings.epochs) * per_epoch)) if settings.epochs else 0


def _trainer(
    recipe: Recipe, total: int, callbacks: list[L.Callback], run: Path | None, every: int, device: torch.device
) -> L.Trainer:
    return L.Trainer(
        **trainer_options(device),
        max_steps=total,
        max_epochs=-1,
        precision="bf16-mixed" if recipe.training.precision == "bf16" else "32-true",
        gradient_clip_val=recipe.training.clip or None,
        check_val_every_n_epoch=every or 1,
        limit_val_batches=None if every else 0,
        callbacks=callbacks,
        logger=build(recipe.training.loggers, run) if run is not None else False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=10,
    )


@contextmanager
def _silence_lightning() -> Iterator[None]:
    """Lightning's advice on loaders and devices is not for the user of a table."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def calibrate(network: Network, rows: Rows, val: np.ndarray) -> None:
    """Fit the temperature of every head that has one on validation rows (Guo et al., ICML 2017)."""
    heads = [name for name in network.outputs if offers(network.head(name), Tempered)]
    for name in heads:
        network.head(name).set_temperature(1.0)
    predictions = predict(network, rows, numbers=val, outputs=heads) if heads else {}
    for name in heads:
        prepared = rows.outputs[name]
        at = prepared.index_RK[val, 0]
        known = at >= 0
        scores = predictions[name].scores
        if known.sum() >= 50 and scores is not None:
            target = prepared.transform.collate([prepared.cells[k] for k in at[known]])["target"]
            weights = None if rows.weights_R is None else rows.weights_R[val[known]]
            network.head(name).set_temperature(fit_temperature(scores.numpy()[known], target, weights))
