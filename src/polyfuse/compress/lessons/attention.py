"""Where the teacher's tokens are strong. Zagoruyko and Komodakis, Paying more attention to attention, ICLR 2017."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.compress.view import View
from polyfuse.objectives.per_input import mean_over_rows
from polyfuse.records import Batch


class Attention(nn.Module):
    """The student's tokens of an input are strong where the teacher's are, over the inputs that both read.

    Args:
        student, teacher: widths of their joint vectors.
    """

    paper = "Zagoruyko and Komodakis, Paying More Attention to Attention, ICLR 2017"

    def __init__(self, student: int, teacher: int):
        super().__init__()
        del student, teacher

    def loss(self, student: View, teacher: View, batch: Batch, heads: Mapping[str, Any]) -> Tensor:  # noqa: ARG002
        """Scalar: squared distance of the maps, each of length 1, the mean over inputs."""
        shared = [name for name in student["maps"] if name in teacher["maps"]]
        total = batch.weights_B.new_zeros(())
        for name in shared:
            own_BS, wanted_BS = (F.normalize(side["maps"][name], dim=-1) for side in (student, teacher))
            there_B = (own_BS.sum(1) > 0) & (wanted_BS.sum(1) > 0)
            total = total + mean_over_rows((own_BS - wanted_BS).square().sum(-1), there_B, batch) / len(shared)
        return total
