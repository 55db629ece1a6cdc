"""The teacher's scores, softened. Hinton et al., Distilling the knowledge in a neural network, 2015."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from polyfuse.compress.view import View
from polyfuse.contracts import Scores, offers
from polyfuse.objectives.per_input import mean_over_rows
from polyfuse.records import Batch


class Logits(nn.Module):
    """The student's scores come near to the teacher's, both softened by a temperature.

    Args:
        student, teacher: widths of their joint vectors.
        temperature: softens both; it has no part in numbers.
    """

    paper = "Hinton et al., Distilling the Knowledge in a Neural Network, 2015"

    def __init__(self, student: int, teacher: int, *, temperature: float = 2.0):
        super().__init__()
        del student, teacher
        if temperature <= 0:
            raise ValueError(f"temperature: expected a number above 0, found {temperature}")
        self.temperature = temperature

    def loss(self, student: View, teacher: View, batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar: the sum over outputs that have scores."""
        total = batch.weights_B.new_zeros(())
        for name, wanted_BC in teacher["scores"].items():
            if name in student["scores"] and offers(heads[name], Scores):
                apart_B = heads[name].divergence(student["scores"][name], wanted_BC, self.temperature)
                total = total + mean_over_rows(apart_B, batch.weights_B > 0, batch)
        return total
