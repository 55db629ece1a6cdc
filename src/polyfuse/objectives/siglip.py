"""Contrastive alignment pair by pair. Zhai et al., Sigmoid loss for language image pre-training, ICCV 2023."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.layers.shared_space import normalize
from polyfuse.objectives.pairs import Pair, PairwiseAlignment, Vectors, pairs_of_rows, weighted_mean_loss
from polyfuse.records import Batch


class SigLip(PairwiseAlignment):
    """Is this the same row? asked of every two rows of the batch on its own, by a sigmoid with learned scale and bias.

    L = mean over rows i of the sum over rows j of -log sigmoid(z_ij (s <u_i, v_j> + b)), z = 1 on the diagonal and -1
    elsewhere; rows that share a cell or the key are asked nothing about each other.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.
        between, around, key: as for ``clip``.
        scale, bias: at the beginning; the paper's, by which nearly all pairs begin as different.

    See also: ``clip``, the softmax over the batch.
    """

    paper = "Zhai et al., Sigmoid loss for language image pre-training, ICCV 2023"

    def __init__(
        self,
        inputs: Sequence[str],
        width: int,
        *,
        between: Sequence[str] | None = None,
        around: str | None = None,
        key: str | None = None,
        scale: float = 10.0,
        bias: float = -10.0,
    ):
        super().__init__(inputs, between, around, key)
        del width
        if not scale > 0:
            raise ValueError(f"scale={scale!r}: expected a number above 0")
        self.log_scale, self.bias = nn.Parameter(torch.tensor(math.log(scale))), nn.Parameter(torch.tensor(float(bias)))

    def chance(self, judged: Vectors, batch: Batch) -> Tensor:
        """The least loss of a space that tells nothing apart: of n rows asked about, one in n is the same."""
        found = []
        for pair in pairs_of_rows(judged, self.pairs, batch, self.key):
            asked_P = (~pair.same_PP).sum(1) + 1.0
            others_P = asked_P - 1
            found.append(
                weighted_mean_loss(asked_P.log() + others_P * (asked_P / others_P.clamp_min(1)).log(), pair.weight_P)
            )
        return torch.stack(found).mean()

    def of(self, pair: Pair) -> Tensor:
        logits_PP = self.log_scale.exp() * normalize(pair.one_PE) @ normalize(pair.two_PE).T + self.bias
        own_PP = torch.eye(len(logits_PP), dtype=torch.bool, device=logits_PP.device)
        sign_PP = torch.where(own_PP, 1.0, -1.0)
        asked_PP = own_PP | ~pair.same_PP
        return weighted_mean_loss(-(F.logsigmoid(sign_PP * logits_PP) * asked_PP).sum(1), pair.weight_P)
