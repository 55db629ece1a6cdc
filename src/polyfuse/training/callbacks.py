"""Around the steps: the best weights are kept, the run can be resumed, Ctrl-C ends it well, a bar shows it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from polyfuse.data.batches import Order
from polyfuse.system.process import SignalListener
from polyfuse.training.learner import Learner


class KeepBest(L.Callback):
    """Keeps the weights that were best on validation, and stops when they have not improved for long.

    Args:
        patience: validations without improvement after which training stops.
        stage: step at which the last stage of training begins, before which nothing is stopped.
    """

    def __init__(self, patience: int, stage: float = 0.0):
        self.patience, self.stage, self.waited = patience, stage, 0
        self.quality, self.step = float("-inf"), 0
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: L.Trainer, learner: Learner) -> None:  # type: ignore[override]
        if learner.quality > self.quality:
            self.quality, self.step, self.waited = learner.quality, trainer.global_step, 0
            self.weights = {k: v.detach().cpu().clone() for k, v in learner.network.state_dict().items()}
        elif trainer.global_step + learner.ahead > self.stage:
            self.waited += 1
            trainer.should_stop |= self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {"waited": self.waited, "quality": self.quality, "step": self.step, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class Average(L.Callback):
    """Weights averaged exponentially over the last steps, which validation sees and which are kept.

    A single point of a noisy path is worse than the middle of its last stretch, which matters wherever training stops
    early. Polyak and Juditsky, Acceleration of stochastic approximation by averaging, SIAM J. Control 1992.

    Args:
        steps: over which the average reaches.
    """

    def __init__(self, steps: float):
        self.decay, self.step = 1 - 1 / max(1.0, steps), 0
        self.weights: dict[str, torch.Tensor] = {}
        self._own: dict[str, torch.Tensor] = {}

    def on_train_batch_end(self, trainer: L.Trainer, learner: Learner, *_: Any) -> None:  # type: ignore[override]
        self.step += 1
        decay = min(self.decay, self.step / (self.step + 9))  # an average over what there is at the beginning
        for name, tensor in learner.network.named_parameters():
            if tensor.requires_grad or name in self.weights:
                mean = self.weights.setdefault(name, tensor.detach().clone())
                mean.lerp_(tensor.detach().to(mean.device), 1 - decay)

    def on_validation_start(self, trainer: L.Trainer, learner: Learner) -> None:  # type: ignore[override]
        self._own = {n: p.detach().clone() for n, p in learner.network.named_parameters() if n in self.weights}
        self.put(learner.network)

    def on_validation_end(self, trainer: L.Trainer, learner: Learner) -> None:  # type: ignore[override]
        _put(learner.network, self._own)
        self._own = {}

    def put(self, network: torch.nn.Module) -> None:
        """Give a network the averaged weights."""
        _put(network, self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _put(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if name in weights:
                tensor.copy_(weights[name])


class History(L.Callback):
    """Loss in training, and loss and quality on validation, against steps; a resumed run goes on with it.

    Args:
        total: steps of the whole schedule, of which about ``POINTS`` are kept.
    """

    POINTS = 200

    def __init__(self, total: int):
        self.every = max(1, total // self.POINTS)
        self.found: dict[str, list[float | None]] = {
            name: [] for name in ("steps", "loss", "val_steps", "val_loss", "val_quality")
        }

    def on_train_batch_end(self, trainer: L.Trainer, learner: Any, outputs: Any, *_: Any) -> None:
        if trainer.global_step % self.every == 0:
            self._add(steps=trainer.global_step, loss=float(outputs["loss"]))

    def on_validation_end(self, trainer: L.Trainer, learner: Learner) -> None:  # type: ignore[override]
        quality, loss = learner.validated
        self._add(val_steps=trainer.global_step, val_loss=loss, val_quality=quality)

    def _add(self, **values: float) -> None:
        for name, value in values.items():
            self.found[name].append(float(f"{value:.5g}") if math.isfinite(value) else None)

    def state_dict(self) -> dict[str, Any]:
        return {"found": self.found}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.found = state["found"]


class Epochs(L.Callback):
    """Every epoch has its own order of rows, the same in a resumed run."""

    def __init__(self, order: Order):
        self.order = order

    def on_train_epoch_start(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        self.order.at_step(trainer.global_step)


class Resumable(L.Callback):
    """Writes ``last.ckpt`` at the end of epochs, at most every few seconds, and replaces it atomically.

    Args:
        folder: of the run.
        every: least seconds between two checkpoints.
    """

    def __init__(self, folder: Path, every: float):
        self.path, self.every, self._last = folder / "last.ckpt", every, time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        due = time.monotonic() - self._last >= self.every
        whole = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch  # an interrupted epoch is not resumable
        if due and whole and not trainer.should_stop:
            fresh = self.path.with_suffix(".new")
            trainer.save_checkpoint(fresh)
            fresh.replace(self.path)
            self._last = time.monotonic()

    def on_save_checkpoint(self, trainer: L.Trainer, learner: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Counts the epoch as over: Lightning does so after this hook alone, and would take a step of it once more."""
        loop = checkpoint["loops"]["fit_loop"]
        for epochs in loop["epoch_progress"].values():
            epochs["completed"] = epochs["processed"]
        batches = loop["epoch_loop.batch_progress"]
        batches["current"] = dict.fromkeys(batches["current"], 0)
        batches["is_last_batch"] = False


class Interruptible(L.Callback):
    """The first Ctrl-C, or a polite kill (SIGTERM), ends training after the running step; a second one at once."""

    def __init__(self) -> None:
        self.interrupted = False
        self._listening = SignalListener(self._note)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Around the whole of Lightning's fit: it gives the signals back to whom it had them from, and so does this.

        Raises:
            KeyboardInterrupt: a second signal came, which Lightning makes an exit of.
        """
        with self._listening:
            try:
                yield
            except SystemExit:
                if self.interrupted:
                    raise KeyboardInterrupt from None
                raise

    def on_train_start(self, trainer: L.Trainer, learner: L.LightningModule) -> None:
        self._listening.take_signals()  # from Lightning, whose handler of SIGTERM would end the run with an exception

    def _note(self, number: int) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        trainer.should_stop |= self.interrupted


class Pace(L.Callback):
    """Keeps a time budget: where steps take longer than they were measured to, the schedule goes by faster.

    Rates still fall to their end, over fewer steps, so that training is shorter and not broken off.

    Args:
        total: steps of the schedule.
        deadline: ``time.monotonic()`` by which it is over, but for a step and a validation.
    """

    WARM = 5  # steps before which nothing is concluded

    def __init__(self, total: int, deadline: float):
        self.total, self.deadline, self.taken, self._started = total, deadline, 0, 0.0
        self.hurried = False

    def on_train_start(self, *_: Any) -> None:
        self._started = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, learner: Learner, *_: Any) -> None:  # type: ignore[override]
        now = time.monotonic()
        self.taken += 1
        left = self.total - trainer.global_step - learner.ahead
        room = (self.deadline - now) * self.taken / max(1e-9, now - self._started)
        if self.taken >= self.WARM and 1 <= room < left:
            learner.ahead += left / room - 1
        late = now >= self.deadline and left >= 1
        self.hurried |= late or learner.ahead > 0
        trainer.should_stop |= self.hurried and (late or left < 1)


class Bar(L.Callback):
    """One progress bar on standard error: steps, loss, best validation, time left.

    Args:
        best: shows what it has kept, where there is validation.
    """

    def __init__(self, total: int, best: KeepBest | None):
        self._total, self._best = total, best
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
        self._bar = Progress(TextColumn("training"), *columns, console=Console(stderr=True), refresh_per_second=2)

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        self._task = self._bar.add_task("training", total=self._total, completed=trainer.global_step, note="")
        self._bar.start()

    def on_train_batch_end(self, trainer: L.Trainer, learner: Any, outputs: Any, *_: Any) -> None:
        if trainer.global_step % 10 == 0:
            best = f"  best validation {self._best.quality:.3f}" if self._best and self._best.weights else ""
            self._bar.update(self._task, completed=trainer.global_step, note=f"loss {float(outputs['loss']):.3f}{best}")

    def on_train_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._bar.update(self._task, completed=trainer.global_step)
        self._bar.stop()

    def on_exception(self, *_: Any) -> None:
        self._bar.stop()
