"""Low-rank tensor fusion: the outer product of all inputs, never formed, at a chosen rank. Liu et al., ACL 2018."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polyfuse.layers.inputs import NormedMeans, linear, one_token
from polyfuse.records import Fused, Tokens


class LowRankTensor(nn.Module):
    """sum_r w_r prod_i W_ir [1; x_i] + b, the product over inputs taken per dimension.

    The column of W_ir that meets the 1 is the bias of a linear layer. An absent input is [1; 0], which leaves that
    column; it starts at the same scale as the rest, so a row keeps its signal whatever it lacks.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        rank: number of products.
        dropout: of the normalised inputs, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    See also: ``tensor``, without a limit of rank, for two or three inputs; ``multiplicative``, by pairs alone, easier
    to train with many inputs.
    """

    paper = "Liu et al.: Efficient low-rank multimodal fusion, ACL 2018"

    def __init__(self, inputs: Sequence[str], width: int, *, rank: int = 8, dropout: float = 0.1):
        super().__init__()
        self.inputs, self.rank = tuple(inputs), rank
        self.pool, self.drop = NormedMeans(self.inputs, width), nn.Dropout(dropout)
        # half of the variance from x, half from the 1: products of any number of factors start at scale 1
        self.factors = nn.ModuleList(linear(width, rank * width, scale=0.5**0.5) for _ in self.inputs)
        for factor in self.factors:
            nn.init.constant_(factor.bias, 0.5**0.5)  # type: ignore[arg-type]
        self.mix_R = nn.Parameter(torch.full((rank,), rank**-0.5))
        self.bias_D = nn.Parameter(torch.zeros(width))

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled_BMD, present_BM = self.pool(tokens)
        product_BX = torch.ones_like(pooled_BMD[:, 0, :1])
        for factor, x_BD in zip(self.factors, self.drop(pooled_BMD).unbind(1), strict=True):
            product_BX = product_BX * factor(x_BD)
        product_BRD = product_BX.unflatten(-1, (self.rank, -1))
        x_BD = (product_BRD * self.mix_R[:, None]).sum(1) + self.bias_D
        return one_token(x_BD, present_BM, tokens)
