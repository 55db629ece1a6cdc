"""Multiplicative interactions: a bilinear form per pair of inputs beside linear terms. Jayakumar et al., ICLR 2020."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polyfuse.layers.inputs import NormedMeans, linear, one_token
from polyfuse.records import Fused, Tokens


class Multiplicative(nn.Module):
    """x'Wy + Ux + Vy + b, for N inputs summed over all pairs: sum_{i<j} P(A_i x_i * A_j x_j) + sum_i U_i x_i + b.

    W is of low rank, W_ijd = sum_r P_dr A_ri A_rj, and every input keeps one A for all its pairs, so that parameters
    grow with the number of inputs, not of pairs. The pairs are summed in linear time, as in factorisation machines. An
    absent input is zeros: it leaves every pair, and adds nothing.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        rank: of each bilinear form.
        dropout: of the products, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    See also: ``low_rank_tensor`` where three or more inputs interact at once; ``concat`` where the sum of what each
    input says is nearly enough.
    """

    paper = "Jayakumar et al.: Multiplicative interactions and where to find them, ICLR 2020"

    def __init__(self, inputs: Sequence[str], width: int, *, rank: int = 64, dropout: float = 0.1):
        super().__init__()
        self.inputs = tuple(inputs)
        count = len(self.inputs)
        self.pool, self.drop = NormedMeans(self.inputs, width), nn.Dropout(dropout)
        self.alone = linear(count * width, width)
        self.factors, self.out = nn.ModuleList(), None
        if count > 1:  # a single input has no pair
            self.factors.extend(linear(width, rank, bias=False) for _ in self.inputs)
            self.out = linear(rank, width, scale=(count * (count - 1) / 2) ** -0.5, bias=False)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled_BMD, present_BM = self.pool(tokens)
        x_BD = self.alone(pooled_BMD.flatten(1))
        if self.out is not None:
            factors = [layer(x) for layer, x in zip(self.factors, pooled_BMD.unbind(1), strict=True)]
            factors_BMR = torch.stack(factors, 1)
            # sum over i < j of a_i a_j
            pairs_BR = (factors_BMR.sum(1).square() - factors_BMR.square().sum(1)) / 2
            x_BD = x_BD + self.out(self.drop(pairs_BR))
        return one_token(x_BD, present_BM, tokens)
