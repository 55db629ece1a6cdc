"""What heads share whose answer comes from one vector of scores per row: loss and prediction are of these scores."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from polyfuse.records import Batch, Fused, Prediction


class ScoredHead(nn.Module):
    """A head by its scores; what it may do beside stands in ``contracts``."""

    @abstractmethod
    def scores(self, fused: Fused, batch: Batch) -> Tensor:
        """Scores (B, C)."""

    @abstractmethod
    def loss_of(self, scores_BC: Tensor, batch: Batch) -> Tensor:
        """Loss of scores per row (B,), 0 where the target is missing."""

    @abstractmethod
    def decode(self, scores_BC: Tensor) -> Prediction:
        """Scores -> prediction."""

    def loss(self, fused: Fused, batch: Batch) -> Tensor:
        """Loss per row (B,)."""
        return self.loss_of(self.scores(fused, batch), batch)

    def predict(self, fused: Fused, batch: Batch) -> Prediction:
        """Prediction of every row."""
        return self.decode(self.scores(fused, batch))


class OneClassHead(ScoredHead):
    """A head whose answer is one class of several, and whose scores are logits or log-probabilities of these."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature: Tensor
        self.register_buffer("temperature", torch.ones(()))

    def set_temperature(self, temperature: float) -> None:
        """Divide scores by this before probabilities are made; it changes no most likely class."""
        self.temperature.fill_(temperature)

    def combine(self, scores_BMC: Tensor, weight_BM: Tensor, rule: str) -> Tensor:
        """Log-probabilities of several judges together (B, C): weighted ``mean`` of theirs, or their ``product``."""
        log_BMC = scores_BMC.log_softmax(-1)
        if rule == "product":
            return (log_BMC * weight_BM[..., None]).sum(1)
        return (log_BMC + weight_BM.clamp_min(1e-9).log()[..., None]).logsumexp(1)

    def divergence(self, scores_BC: Tensor, teacher_BC: Tensor, temperature: float) -> Tensor:
        """Kullback-Leibler divergence from the teacher's softened probabilities (B,), scaled back in gradient."""
        wanted_BC, given_BC = ((s / temperature).log_softmax(-1) for s in (teacher_BC, scores_BC))
        return (wanted_BC.exp() * (wanted_BC - given_BC)).sum(-1) * temperature**2
