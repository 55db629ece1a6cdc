"""Which row is which. Tian et al., Contrastive representation distillation, ICLR 2020."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.compress.view import View
from polyfuse.objectives.per_input import mean_over_rows
from polyfuse.records import Batch

SIZE = 128  # of the space in which both are compared


class Contrastive(nn.Module):
    """The student's joint vector finds the teacher's of the same row among those of the batch.

    The paper's negatives come from a memory of all rows; here they are the other rows of the batch (InfoNCE).

    Args:
        student, teacher: widths of their joint vectors.
        temperature: cosines are divided by it.
    """

    paper = "Tian et al., Contrastive Representation Distillation, ICLR 2020"

    def __init__(self, student: int, teacher: int, *, temperature: float = 0.1):
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature: expected a number above 0, found {temperature}")
        self.temperature = temperature
        self.student, self.teacher = nn.Linear(student, SIZE), nn.Linear(teacher, SIZE)

    def loss(self, student: View, teacher: View, batch: Batch, heads: Mapping[str, Any]) -> Tensor:  # noqa: ARG002
        """Scalar; 0 in a batch of one row. Rows of weight 0 are nobody's negatives."""
        own_BE = F.normalize(self.student(student["joint"]), dim=-1)
        wanted_BE = F.normalize(self.teacher(teacher["joint"]), dim=-1)
        counts_B = batch.weights_B > 0
        logits_BB = own_BE @ wanted_BE.T / self.temperature
        logits_BB = logits_BB.masked_fill(~counts_B[None] & ~_diagonal(logits_BB), float("-inf"))
        target_B = torch.arange(len(own_BE), device=own_BE.device)
        return mean_over_rows(F.cross_entropy(logits_BB, target_B, reduction="none"), counts_B, batch)


def _diagonal(x_BB: Tensor) -> Tensor:
    return torch.eye(len(x_BB), dtype=torch.bool, device=x_BB.device)
