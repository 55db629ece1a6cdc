"""How rows lie to each other. Park et al., Relational knowledge distillation, CVPR 2019."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.compress.view import View
from polyfuse.records import Batch


class Relational(nn.Module):
    """Distances between rows, and angles of three, are in the student's joint space as in the teacher's.

    Args:
        student, teacher: widths of their joint vectors.
        angles: weight of the angles, beside the distances.
    """

    paper = "Park et al., Relational Knowledge Distillation, CVPR 2019"

    def __init__(self, student: int, teacher: int, *, angles: float = 2.0):
        super().__init__()
        del student, teacher
        if angles < 0:
            raise ValueError(f"angles: expected a weight of 0 or more, found {angles}")
        self.angles = angles

    def loss(self, student: View, teacher: View, batch: Batch, heads: Mapping[str, Any]) -> Tensor:  # noqa: ARG002
        """Scalar; 0 in a batch of fewer than three rows. Rows of weight 0 have no part in it."""
        counts_B = batch.weights_B > 0
        own_BD, wanted_BD = student["joint"].float()[counts_B], teacher["joint"].float()[counts_B]
        if len(own_BD) < 3:
            return own_BD.sum() * 0
        apart = F.smooth_l1_loss(_distances(own_BD), _distances(wanted_BD))
        return apart + self.angles * F.smooth_l1_loss(_angles(own_BD), _angles(wanted_BD))


def _distances(x_BD: Tensor) -> Tensor:
    """Of all pairs, in units of their mean (B, B)."""
    square_BB = (x_BD[:, None] - x_BD[None]).square().sum(-1)
    found_BB = (square_BB + 1e-12).sqrt() * ~torch.eye(len(x_BD), dtype=torch.bool, device=x_BD.device)
    return found_BB / (found_BB.sum() / (len(x_BD) * (len(x_BD) - 1))).clamp_min(1e-6)


def _angles(x_BD: Tensor) -> Tensor:
    """Cosines of the angles at every row between every two others (B, B, B)."""
    towards_BBD = F.normalize(x_BD[None] - x_BD[:, None], dim=-1, eps=1e-6)
    return towards_BBD @ towards_BBD.transpose(1, 2)
