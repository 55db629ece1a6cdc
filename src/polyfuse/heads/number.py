"""A number: regression on a standardised, where it fits better logarithmic scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from polyfuse.heads.scored import ScoredHead
from polyfuse.layers.readout import Readout
from polyfuse.records import Batch, Fused, Prediction, Spec

LOSSES: dict[str, Callable[..., Tensor]] = {"huber": F.huber_loss, "mse": F.mse_loss, "l1": F.l1_loss}
BACK: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "log": torch.exp,
    "log1p": lambda x: torch.expm1(x).clamp_min(0),  # taken only where no target is below 0
}
MARGIN = 0.5  # predictions stay within the training range and this many standard deviations around it


class Number(ScoredHead):
    """One number per row, learnt standardised and reported in its own units.

    Args:
        name: the output's.
        width: D.
        centre, spread, log, bounds: the fitted scale of the target.
        loss: ``huber`` (robust), ``mse`` (the mean) or ``l1`` (the median).
        scale: ``auto``, ``linear`` or ``log``.
        pool, dropout: see ``layers.readout``.
    """

    paper = "Huber, Robust Estimation of a Location Parameter, 1964 (loss)"
    task = "number"

    @staticmethod
    def wants(*, loss: str = "huber", scale: str = "auto", pool: str = "auto", dropout: float = 0.1) -> Spec:
        """The target column standardised."""
        del loss, pool, dropout
        return Spec("target.number", {"scale": scale})

    def __init__(
        self,
        *,
        name: str,
        width: int,
        centre: float,
        spread: float,
        log: str,
        bounds: tuple[float, float],
        loss: str = "huber",
        scale: str = "auto",
        pool: str = "auto",
        dropout: float = 0.1,
    ):
        del scale  # the transform's business
        super().__init__()
        if loss not in LOSSES:
            raise ValueError(f"loss: expected one of {', '.join(LOSSES)}, found {loss!r}")
        self.name, self.loss_name = name, loss
        self.centre, self.spread, self.log, self.bounds = centre, spread, log, bounds
        self.read = Readout(width, 1, pool=pool, dropout=dropout)
        self.offset: Tensor
        self.slope: Tensor
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))
        self.register_buffer("slope", torch.ones((), dtype=torch.float64))

    def set_line(self, offset: float, slope: float) -> None:
        """Report ``offset + slope * number`` from now on, in the column's own units.

        What is learnt on a logarithmic scale, or by a robust loss, is nearer to the median than to the mean, which a
        squared error asks for (Duan, Smearing estimate, JASA 1983).
        """
        self.offset.fill_(offset)
        self.slope.fill_(slope)

    def scores(self, fused: Fused, batch: Batch) -> Tensor:  # noqa: ARG002
        """Standardised numbers (B, 1)."""
        return self.read(fused.tokens)

    def loss_of(self, scores_B1: Tensor, batch: Batch) -> Tensor:
        """Loss on the standardised scale (B,), 0 where the target is missing."""
        cells = batch.outputs[self.name]
        target_B = cells.rows(cells.fields["target"])  # type: ignore[index]
        loss_B = LOSSES[self.loss_name](scores_B1[:, 0].float(), target_B, reduction="none")
        return loss_B * cells.present_B

    def quality(self, scores_B1: Tensor, batch: Batch) -> Tensor:
        """Minus the squared error on the standardised scale (B,)."""
        cells = batch.outputs[self.name]
        return -(scores_B1[:, 0] - cells.rows(cells.fields["target"])).square()  # type: ignore[index]

    def combine(self, scores_BM1: Tensor, weight_BM: Tensor, rule: str) -> Tensor:  # noqa: ARG002
        """The weighted mean of several judges (B, 1), which is also the peak of a product of equally sure ones."""
        total_B1 = weight_BM.sum(1, keepdim=True).clamp_min(1e-9)
        return (scores_BM1 * weight_BM[..., None]).sum(1) / total_B1

    def divergence(self, scores_B1: Tensor, teacher_B1: Tensor, temperature: float) -> Tensor:  # noqa: ARG002
        """Squared distance from the teacher on the standardised scale (B,); a temperature has no part in it."""
        return (scores_B1 - teacher_B1).square()[:, 0]

    def portable(self) -> dict[str, Any]:
        """How its scores are read without it."""
        low, high = self.bounds
        scale = {"centre": self.centre, "spread": self.spread, "log": self.log}
        ends = {"least": low - MARGIN, "most": high + MARGIN}
        return {"form": "number", **scale, **ends, "offset": float(self.offset), "slope": float(self.slope)}

    def decode(self, scores_B1: Tensor) -> Prediction:
        """Numbers in original units, never far outside what training saw, so that no exponential explodes."""
        low, high = self.bounds
        # on the processor: some devices know no double precision
        standard_B = scores_B1[:, 0].detach().cpu().double().clamp(low - MARGIN, high + MARGIN)
        plain_B = self._own_units(standard_B)
        least, most = (self._own_units(torch.tensor(end, dtype=torch.float64)) for end in (low - MARGIN, high + MARGIN))
        offset, slope = self.offset.cpu().double(), self.slope.cpu().double()
        return Prediction((offset + slope * plain_B).clamp(least, most).tolist(), scores_B1)

    def _own_units(self, standard: Tensor) -> Tensor:
        return BACK[self.log](standard * self.spread + self.centre)
