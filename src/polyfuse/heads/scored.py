"""What heads share whose answer comes from one vector of scores per row: loss and prediction are of these scores."""

from __future__ import annotations

from abc import abstractmethod

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
