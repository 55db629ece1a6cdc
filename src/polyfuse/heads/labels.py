"""Any number of labels per row: an independent yes or no for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polyfuse.heads.decision import Given, per_class
from polyfuse.heads.scored import ScoredHead
from polyfuse.layers.readout import Readout
from polyfuse.records import Batch, Fused, Prediction, Spec


class Labels(ScoredHead):
    """A set of labels per row; each is decided on its own.

    Args:
        name: the output's.
        width: D.
        classes, counts: labels and how often each was seen in training.
        threshold: probability from which a label is given; one for all, or label -> probability, 0.5 for the others.
        class_weight: ``balanced`` weighs the yes of a rare label up, at most tenfold.
        separator: between labels in a text cell.
        pool, dropout: see ``layers.readout``.
        cost: instead of a threshold, label -> what it costs to miss it, where a false one costs 1.
    """

    paper = ""
    task = "labels"

    @staticmethod
    def wants(
        *,
        threshold: Given = 0.5,
        class_weight: str = "none",
        separator: str = "auto",
        pool: str = "auto",
        dropout: float = 0.1,
        cost: Given = None,
    ) -> Spec:
        """The target column as multi-hot vectors."""
        del threshold, class_weight, pool, dropout, cost
        return Spec("target.labels", {"separator": separator})

    def __init__(
        self,
        *,
        name: str,
        width: int,
        classes: list,
        counts: list[int],
        threshold: Given = 0.5,
        class_weight: str = "none",
        separator: str = "auto",
        pool: str = "auto",
        dropout: float = 0.1,
        cost: Given = None,
    ):
        del separator  # the transform's business
        super().__init__()
        if class_weight not in ("none", "balanced"):
            raise ValueError(f"class_weight: expected none or balanced, found {class_weight!r}")
        self.name, self.classes = name, classes
        self.rule_C = self.decision_rule(cost, None if cost is not None and threshold == 0.5 else threshold)
        self.read = Readout(width, len(classes), pool=pool, dropout=dropout)
        counts_C = torch.tensor(counts, dtype=torch.float32)
        rarity_C = (counts_C.max() / counts_C.clamp_min(1)).clamp_max(10)
        self.weight_C: Tensor
        self.register_buffer("weight_C", rarity_C if class_weight == "balanced" else torch.ones(len(counts)))

    def scores(self, fused: Fused, batch: Batch) -> Tensor:  # noqa: ARG002
        """Logits (B, C)."""
        return self.read(fused.tokens)

    def loss_of(self, scores_BC: Tensor, batch: Batch) -> Tensor:
        """Binary cross-entropy per row (B,), the mean over labels, 0 where the target is missing."""
        cells = batch.outputs[self.name]
        target_BC = cells.rows(cells.fields["target"])  # type: ignore[index]
        loss_BC = F.binary_cross_entropy_with_logits(
            scores_BC.float(), target_BC, pos_weight=self.weight_C, reduction="none"
        )
        return loss_BC.mean(-1) * cells.present_B

    def quality(self, scores_BC: Tensor, batch: Batch) -> Tensor:
        """F1 of each row's set of labels (B,)."""
        cells = batch.outputs[self.name]
        target_BC = cells.rows(cells.fields["target"])  # type: ignore[index]
        given_BC = (scores_BC.sigmoid() >= torch.as_tensor(self.rule_C, device=scores_BC.device)).float()
        both_B = (given_BC * target_BC).sum(-1)
        total_B = given_BC.sum(-1) + target_BC.sum(-1)
        return torch.where(total_B == 0, 1.0, 2 * both_B / total_B.clamp_min(1))

    def combine(self, scores_BMC: Tensor, weight_BM: Tensor, rule: str) -> Tensor:
        """Log-odds of several judges together (B, C): weighted ``mean`` of probabilities, or their ``product``."""
        if rule == "product":
            return (scores_BMC * weight_BM[..., None]).sum(1)
        log_BM1 = weight_BM.clamp_min(1e-9).log()[..., None]
        yes_BC, no_BC = ((F.logsigmoid(s) + log_BM1).logsumexp(1) for s in (scores_BMC, -scores_BMC))
        return yes_BC - no_BC

    def divergence(self, scores_BC: Tensor, teacher_BC: Tensor, temperature: float) -> Tensor:
        """Kullback-Leibler divergence from the teacher's softened yes and no (B,), the mean over labels."""
        wanted_BC, given_BC = teacher_BC / temperature, scores_BC / temperature
        cross_BC = F.binary_cross_entropy_with_logits(given_BC, wanted_BC.sigmoid(), reduction="none")
        own_BC = F.binary_cross_entropy_with_logits(wanted_BC, wanted_BC.sigmoid(), reduction="none")
        return (cross_BC - own_BC).mean(-1) * temperature**2

    def portable(self) -> dict[str, Any]:
        """How its scores are read without it."""
        return {"form": "labels", "classes": self.classes, "rule": np.asarray(self.rule_C).tolist()}

    def decision_rule(self, cost: Given = None, threshold: Given = None) -> np.ndarray:
        """The probability from which each label is given (C,); see the arguments of the head.

        Raises:
            ValueError: no such label, a number out of bounds, or both at once.
        """
        if cost is not None and threshold is not None:
            raise ValueError(f"output {self.name!r}: expected a cost or a threshold, found both")
        if cost is not None:
            return 1 / (1 + per_class(cost, self.classes, f"output {self.name!r}, cost", 1.0))
        return per_class(threshold, self.classes, f"output {self.name!r}, threshold", 0.5, 1.0)

    def decode(self, scores_BC: Tensor, rule_C: np.ndarray | None = None) -> Prediction:
        """Lists of labels, with ``probabilities`` (B, C).

        Args:
            rule_C: see ``decision_rule``; the head's own by default.
        """
        probabilities = scores_BC.detach().float().sigmoid().cpu().numpy()
        value = [
            [self.classes[at] for at in row.nonzero()[0]]
            for row in probabilities >= (self.rule_C if rule_C is None else rule_C)
        ]
        return Prediction(value, scores_BC, {"probabilities": probabilities})
