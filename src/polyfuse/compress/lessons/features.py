"""The teacher's joint vector, guessed from the student's. Romero et al., FitNets, ICLR 2015."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.compress.view import View
from polyfuse.objectives.per_input import mean_over_rows
from polyfuse.records import Batch


class Features(nn.Module):
    """A linear map of the student's joint vector comes near to the teacher's, both of length 1.

    Args:
        student, teacher: widths of their joint vectors.
    """

    paper = "Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015"

    def __init__(self, student: int, teacher: int):
        super().__init__()
        self.guess = nn.Linear(student, teacher)

    def loss(self, student: View, teacher: View, batch: Batch, heads: Mapping[str, Any]) -> Tensor:  # noqa: ARG002
        """Scalar: mean squared distance of the unit vectors."""
        guess_BD, wanted_BD = (F.normalize(x, dim=-1) for x in (self.guess(student["joint"]), teacher["joint"]))
        return mean_over_rows((guess_BD - wanted_BD).square().sum(-1), batch.weights_B > 0, batch)
