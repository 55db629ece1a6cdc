"""Factorised bilinear pooling: products of inputs, summed in small groups, normalised. Yu et al., ICCV 2017."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyfuse.layers.inputs import NormedMeans, linear, one_token
from polyfuse.records import Fused, Tokens

SMOOTH = 1e-6  # the gradient of a square root has no end at 0


class MFB(nn.Module):
    """sum-pool(U x * V y) over groups of ``rank``, then the signed square root, then l2 normalisation.

    N inputs continue the product with one factor each. An absent input's factor is 1, which leaves the product of the
    others. The normalised vector is multiplied by the root of D, so that each dimension keeps scale 1.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        rank: products that are summed into one dimension (k in the paper).
        dropout: of the products, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    See also: ``multiplicative`` or ``low_rank_tensor``, which keep what each input says alone; ``tucker``.
    """

    paper = "Yu et al.: Multi-modal factorized bilinear pooling, ICCV 2017"

    def __init__(self, inputs: Sequence[str], width: int, *, rank: int = 5, dropout: float = 0.1):
        super().__init__()
        self.inputs, self.rank = tuple(inputs), rank
        self.pool, self.drop = NormedMeans(self.inputs, width), nn.Dropout(dropout)
        self.project = nn.ModuleList(linear(width, width * rank) for _ in self.inputs)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled_BMD, present_BM = self.pool(tokens)
        product_BX = torch.ones_like(pooled_BMD[:, 0, :1])
        for m, project in enumerate(self.project):
            factor_BX = project(pooled_BMD[:, m])
            product_BX = product_BX * torch.where(present_BM[:, m, None], factor_BX, torch.ones_like(factor_BX))
        x_BD = self.drop(product_BX).unflatten(-1, (-1, self.rank)).sum(-1)
        return one_token(_normalize(x_BD), present_BM, tokens)


def _normalize(x_BD: Tensor) -> Tensor:
    """sign(x) sqrt(|x|), then brought to length sqrt(D)."""
    root_BD = x_BD * (x_BD.abs() + SMOOTH).rsqrt()
    return nn.functional.normalize(root_BD, dim=-1, eps=SMOOTH) * x_BD.shape[-1] ** 0.5
