"""Training of a network on Lightning: from a completed recipe and prepared rows to trained weights."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger

from polyfuse.data.batches import Order, Rows, loader, shared_cell
from polyfuse.inference import BATCH, predict
from polyfuse.metrics.calibration import fit_temperature
from polyfuse.model import Network
from polyfuse.recipe import Recipe
from polyfuse.training.callbacks import Bar, Interruptible, KeepBest, Resumable
from polyfuse.training.learner import Learner
from polyfuse.training.speed import affordable_steps

VALIDATIONS = 40  # at most so many passes over the validation rows


@dataclass(frozen=True)
class Result:
    """What happened: steps taken and planned, seconds, which weights were kept and why, quality on validation."""

    steps: int
    planned: int
    seconds: float
    kept: str
    quality: float | None
    interrupted: bool

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
        deadline: ``time.monotonic()`` by which training must be over, for a time budget.
    """
    settings = recipe.training
    order = Order(
        split.train,
        int(settings.batch_size),
        shuffle=True,
        seed=settings.seed,
        share=shared_cell(rows.inputs, split.train),
    )
    batches = loader(rows, order, settings.workers)
    if deadline is not None:
        settings.steps = affordable_steps(
            network, recipe, batches, planned_steps(recipe, len(order)), bool(len(split.val)), deadline
        )
        settings.time = None
    total = planned_steps(recipe, len(order))
    last = run / "last.ckpt" if run is not None else None
    learner = Learner(network, recipe, total)
    selecting = settings.select == "best" and len(split.val) > 0
    epochs = max(1, -(-total // len(order)))
    every = max(1, -(-epochs // VALIDATIONS))
    best = KeepBest(max(3, round(settings.patience * epochs / every))) if selecting else None
    interrupt = Interruptible()
    callbacks: list[L.Callback] = [interrupt, *([best] if best else []), *([] if quiet else [Bar(total, best)])]
    if run is not None:
        callbacks.append(Resumable(run, settings.checkpoint))
        run.mkdir(parents=True, exist_ok=True)
        (run / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf8")
    network.train()  # Lightning keeps the mode that it finds
    started = time.monotonic()
    with _quiet():
        trainer = _trainer(recipe, total, callbacks, run, every if len(split.val) else 0)
        plain = Rows(rows.inputs, rows.outputs, rows.count, rows.weights_R)
        checks = loader(plain, Order(split.val, BATCH)) if len(split.val) else None
        path = str(last) if resume and last is not None and last.exists() else None
        trainer.fit(learner, batches, checks, ckpt_path=path)
    learner.unfreezer.release()
    if best and best.weights:
        network.load_state_dict(best.weights)
    if settings.calibrate and len(split.val):
        calibrate(network, plain, split.val)
    network.eval()
    if last is not None and not interrupt.interrupted:
        last.unlink(missing_ok=True)
    kept = f"best on validation, of step {best.step}" if best and best.weights else "last of the schedule"
    quality = learner.quality if best is None else best.quality
    return Result(
        steps=trainer.global_step,
        planned=total,
        seconds=round(time.monotonic() - started, 2),
        kept=kept,
        quality=round(quality, 5) if np.isfinite(quality) else None,
        interrupted=interrupt.interrupted,
    )


def planned_steps(recipe: Recipe, per_epoch: int) -> int:
    """Steps of the whole schedule: the recipe's own number, or its epochs."""
    settings = recipe.training
    return settings.steps if isinstance(settings.steps, int) else max(1, round(float(settings.epochs) * per_epoch))


def _trainer(recipe: Recipe, total: int, callbacks: list[L.Callback], run: Path | None, every: int) -> L.Trainer:
    return L.Trainer(
        max_steps=total,
        max_epochs=-1,
        precision="bf16-mixed" if recipe.training.precision == "bf16" else "32-true",
        gradient_clip_val=recipe.training.clip or None,
        check_val_every_n_epoch=every or 1,
        limit_val_batches=None if every else 0,
        callbacks=callbacks,
        logger=TensorBoardLogger(str(run), name="", version="tensorboard") if run is not None else False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=10,
    )


@contextmanager
def _quiet() -> Iterator[None]:
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
    heads = [name for name in network.outputs if hasattr(network.head(name), "set_temperature")]
    for name in heads:
        network.head(name).set_temperature(1.0)
    predictions = predict(network, rows, numbers=val) if heads else {}
    for name in heads:
        prepared = rows.outputs[name]
        at = prepared.index_RK[val, 0]
        known = at >= 0
        scores = predictions[name].scores
        if known.sum() >= 50 and scores is not None:
            target = prepared.transform.collate([prepared.cells[k] for k in at[known]])["target"]
            network.head(name).set_temperature(fit_temperature(scores.numpy()[known], target))
