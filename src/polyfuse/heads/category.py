"""One of several classes: softmax and cross-entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.layers.readout import Readout
from polyfuse.records import Batch, Fused, Prediction, Spec


class Category(nn.Module):
    """One class per row, of two or more; probabilities can be calibrated by a temperature.

    Args:
        name: the output's.
        width: D.
        classes, counts: labels and how often each was seen in training.
        class_weight: ``balanced`` weighs rows by the inverse frequency of their class, for imbalance.
        label_smoothing: share of the target given to all classes.
        pool, dropout: see ``layers.readout``.

    See also: ``labels``, where several may apply at once.
    """

    paper = "Guo et al., On Calibration of Modern Neural Networks, ICML 2017 (temperature)"
    task = "category"

    @staticmethod
    def wants(
        *, class_weight: str = "none", label_smoothing: float = 0.0, pool: str = "auto", dropout: float = 0.1
    ) -> Spec:
        """The target column as class numbers."""
        del class_weight, label_smoothing, pool, dropout
        return Spec("target.category")

    def __init__(
        self,
        *,
        name: str,
        width: int,
        classes: list,
        counts: list[int],
        class_weight: str = "none",
        label_smoothing: float = 0.0,
        pool: str = "auto",
        dropout: float = 0.1,
    ):
        super().__init__()
        if class_weight not in ("none", "balanced"):
            raise ValueError(f"class_weight: expected none or balanced, found {class_weight!r}")
        self.name, self.classes, self.label_smoothing = name, classes, label_smoothing
        self.read = Readout(width, len(classes), pool=pool, dropout=dropout)
        counts_C = torch.tensor(counts, dtype=torch.float32)
        balanced_C = counts_C.sum() / (len(counts) * counts_C.clamp_min(1))
        self.weight_C: Tensor
        self.register_buffer("weight_C", balanced_C if class_weight == "balanced" else torch.ones(len(counts)))
        self.temperature: Tensor
        self.register_buffer("temperature", torch.ones(()))

    def set_temperature(self, temperature: float) -> None:
        """Divide scores by this before probabilities are made; it changes no decision."""
        self.temperature.fill_(temperature)

    def scores(self, fused: Fused, batch: Batch) -> Tensor:  # noqa: ARG002
        """Logits (B, C), before the temperature."""
        return self.read(fused.tokens)

    def loss_of(self, scores_BC: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy per row (B,), 0 where the target is missing."""
        cells = batch.outputs[self.name]
        target_B = cells.rows(cells.fields["target"])  # type: ignore[index]
        loss_B = F.cross_entropy(
            scores_BC.float(), target_B, self.weight_C, reduction="none", label_smoothing=self.label_smoothing
        )
        return loss_B * cells.present_B

    def loss(self, fused: Fused, batch: Batch) -> Tensor:
        """Loss per row (B,)."""
        return self.loss_of(self.scores(fused, batch), batch)

    def quality(self, scores_BC: Tensor, batch: Batch) -> Tensor:
        """1 where the most likely class is right (B,)."""
        cells = batch.outputs[self.name]
        return (scores_BC.argmax(-1) == cells.rows(cells.fields["target"])).float()  # type: ignore[index]

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

    def decode(self, scores_BC: Tensor) -> Prediction:
        """Labels, with ``probabilities`` (B, C) and ``confidence`` (B,)."""
        probabilities = (scores_BC.detach().float().cpu() / self.temperature.cpu()).softmax(-1).numpy()
        value = [self.classes[at] for at in probabilities.argmax(-1)]
        return Prediction(value, scores_BC, {"probabilities": probabilities, "confidence": probabilities.max(-1)})

    def predict(self, fused: Fused, batch: Batch) -> Prediction:
        """Prediction of every row."""
        return self.decode(self.scores(fused, batch))
