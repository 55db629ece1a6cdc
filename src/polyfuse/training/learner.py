"""The Lightning module: loss, validation and optimizer of a network, all random draws fixed by seed and step."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from polyfuse.contracts import Rebalances, WatchesValidation, offers
from polyfuse.model.network import Network
from polyfuse.recipe import Recipe
from polyfuse.records import Batch
from polyfuse.training import reward
from polyfuse.training.chunks import Chunks, step_losses
from polyfuse.training.schedule import Unfreezer, dropout_share, factor, parameter_groups


class Learner(L.LightningModule):
    """Trains a network as its recipe says.

    Every step draws from a generator seeded by the recipe's seed and the step's number, so that a resumed run repeats
    exactly what the uninterrupted one would have done.

    Args:
        total: steps of the whole schedule.
    """

    def __init__(self, network: Network, recipe: Recipe, total: int):
        super().__init__()
        self.network, self.recipe, self.total = network, recipe, total
        self._groups = parameter_groups(network, recipe)  # before the unfreezer hides what waits
        self.unfreezer = Unfreezer(network, recipe, total)
        self.ahead = 0.0  # steps by which the schedule is further than those that were taken; see ``callbacks.Pace``
        self.quality = float("-inf")
        self.by_loss = recipe.training.judge == "loss"
        self.validated = (float("nan"), float("nan"))  # quality and loss of the last look at validation
        self.pending: Chunks | None = None
        self._found: list[tuple[float, float, int, float]] = []  # quality, loss, rows that count, their weight

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        _seed(self.recipe.training.seed * 1_000_003 + self.global_step)
        place = self.global_step + self.ahead
        self.unfreezer.step(int(place))
        training = self.recipe.training
        reward.set_progress(self.network, min(1.0, place / self.total))
        self.network.dropout_share = dropout_share(training.modality_dropout_schedule, min(1.0, place / self.total))

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        losses, self.pending = step_losses(self.network, batch, self.recipe.training.chunk)
        loss = torch.stack(list(losses.values())).sum()
        if self.global_step % 10 == 0 and self.loggers:
            values = {f"train/{name}": value.item() for name, value in losses.items()}
            self._log(values | {"rate": self._groups[-1]["lr"]})
        return loss

    def _log(self, values: dict[str, float]) -> None:
        for logger in self.loggers:
            logger.log_metrics(values, self.global_step)

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """As usual; of a batch in chunks the second pass follows, under the precision of the first."""
        loss.backward(*args, **kwargs)
        if self.pending is not None:
            with self.trainer.precision_plugin.forward_context():
                self.pending.backward()
            self.pending = None

    def on_after_backward(self) -> None:
        for objective in self.network.objectives:
            if offers(objective, Rebalances):
                objective.rebalance(self.network.input_parameters())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        state = self.network(batch)
        loss = sum(value.item() for value in self.network.losses(state, batch).values())
        qualities = [self._quality(name, state, batch) for name in self.network.outputs]
        quality = -loss if self.by_loss or not qualities else sum(qualities) / len(qualities)
        self._found.append((quality, loss, int((batch.weights_B > 0).sum()), float(batch.weights_B.sum())))

    def _quality(self, name: str, state: Any, batch: Batch) -> float:
        """Weighted mean quality of one output over the rows that have its target: accuracy, or minus the loss."""
        head = self.network.head(name)
        weight_B = batch.weights_B * batch.outputs[name].present_B
        quality_B = head.quality(state.scores.get(name, state.fused), batch)
        return float((quality_B * weight_B).sum() / weight_B.sum().clamp_min(1e-6))

    def on_validation_epoch_end(self) -> None:
        weight = max(sum(f[3] for f in self._found), 1e-6)
        quality = sum(f[0] * f[3] for f in self._found) / weight
        loss = sum(f[1] * f[2] for f in self._found) / weight
        # accuracy has few distinct values: the loss decides between equal ones
        self.quality = quality - 1e-4 * loss
        self.validated = quality, loss
        self._found.clear()
        for objective in self.network.objectives:
            if offers(objective, WatchesValidation):
                objective.after_validation()
        self._log({"val/quality": quality, "val/loss": loss})

    def configure_optimizers(self) -> Any:
        optimizer = AdamW(self._groups, betas=(0.9, 0.99), fused=True)
        warmup = self.recipe.training.warmup
        schedule = LambdaLR(optimizer, lambda step: factor(step + self.ahead, self.total, warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, gradient_clip_val: Any = None, *_: Any, **__: Any) -> None:
        """By norm. Lightning's own refuses fused optimizers under autocast, which matters for fp16's scaler alone."""
        if gradient_clip_val:
            torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], gradient_clip_val)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)


def _seed(seed: int) -> None:
    """As ``torch.manual_seed``, which spends a millisecond per step on traces for accelerators that are not there."""
    torch.default_generator.manual_seed(seed)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
