"""One of several classes: softmax and cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polyfuse.heads.decision import Given, per_class
from polyfuse.heads.scored import OneClassHead
from polyfuse.layers.readout import Readout
from polyfuse.records import Batch, Fused, Prediction, Spec


class Category(OneClassHead):
    """One class per row, of two or more; probabilities can be calibrated by a temperature.

    Args:
        name: the output's.
        width: D.
        classes, counts: labels and how often each was seen in training.
        class_weight: ``balanced`` weighs rows by the inverse frequency of their class, for imbalance.
        label_smoothing: share of the target given to all classes.
        pool, dropout: see ``layers.readout``.
        cost, threshold: see ``decision_rule``; they change which class is answered, not what is learned.

    See also: ``labels``, where several may apply at once.
    """

    paper = "Guo et al., On Calibration of Modern Neural Networks, ICML 2017 (temperature)"
    task = "category"

    @staticmethod
    def wants(
        *,
        class_weight: str = "none",
        label_smoothing: float = 0.0,
        pool: str = "auto",
        dropout: float = 0.1,
        cost: Given = None,
        threshold: Given = None,
    ) -> Spec:
        """The target column as class numbers."""
        del class_weight, label_smoothing, pool, dropout, cost, threshold
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
        cost: Given = None,
        threshold: Given = None,
    ):
        super().__init__()
        if class_weight not in ("none", "balanced"):
            raise ValueError(f"class_weight: expected none or balanced, found {class_weight!r}")
        self.name, self.classes, self.label_smoothing = name, classes, label_smoothing
        self.rule_C = self.decision_rule(cost, threshold)
        self.read = Readout(width, len(classes), pool=pool, dropout=dropout)
        counts_C = torch.tensor(counts, dtype=torch.float32)
        balanced_C = counts_C.sum() / (len(counts) * counts_C.clamp_min(1))
        self.weight_C: Tensor
        self.register_buffer("weight_C", balanced_C if class_weight == "balanced" else torch.ones(len(counts)))

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

    def quality(self, scores_BC: Tensor, batch: Batch) -> Tensor:
        """1 where the most likely class is right (B,)."""
        cells = batch.outputs[self.name]
        return (scores_BC.argmax(-1) == cells.rows(cells.fields["target"])).float()  # type: ignore[index]

    def portable(self) -> dict[str, Any]:
        """How its scores are read without it."""
        told = {"form": "class", "classes": self.classes, "temperature": float(self.temperature)}
        return {**told, "rule": self.rule_C.tolist()}

    def decision_rule(self, cost: Given = None, threshold: Given = None) -> np.ndarray:
        """What each class's probability is multiplied by before the greatest decides (C,).

        Args:
            cost: class -> what it costs to miss it, 1 for the others: the answer has the least expected cost.
            threshold: of two classes, one -> probability from which it is the answer.

        Raises:
            ValueError: no such class, a number out of bounds, both at once, or a threshold that is none of one of two.
        """
        if cost is not None and threshold is not None:
            raise ValueError(f"output {self.name!r}: expected a cost or a threshold, found both")
        if threshold is None:
            return per_class(cost, self.classes, f"output {self.name!r}, cost", 1.0)
        if not isinstance(threshold, Mapping) or len(threshold) != 1 or len(self.classes) != 2:
            raise ValueError(
                f"output {self.name!r}: a threshold is the probability from which one of two classes is the answer, "
                f"{{class: probability}}; found {threshold!r} for {len(self.classes)} classes. With more classes, give "
                "each its cost"
            )
        p_C = per_class(threshold, self.classes, f"output {self.name!r}, threshold", 0.5, 1.0).clip(1e-12, 1 - 1e-12)
        return np.where([str(name) in map(str, threshold) for name in self.classes], (1 - p_C) / p_C, 1.0)

    def decode(self, scores_BC: Tensor, rule_C: np.ndarray | None = None) -> Prediction:
        """Labels, with ``probabilities`` (B, C) and ``confidence`` (B,), the probability of the answer.

        Args:
            rule_C: see ``decision_rule``; the head's own by default.
        """
        probabilities = (scores_BC.detach().float().cpu() / self.temperature.cpu()).softmax(-1).numpy()
        answer_B = (probabilities * (self.rule_C if rule_C is None else rule_C)).argmax(-1)
        confidence = np.take_along_axis(probabilities, answer_B[:, None], -1)[:, 0]
        value = [self.classes[at] for at in answer_B]
        return Prediction(value, scores_BC, {"probabilities": probabilities, "confidence": confidence})
