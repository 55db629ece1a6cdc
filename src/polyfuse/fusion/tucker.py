"""Tucker fusion: a small core tensor between projected inputs, its slices of low rank. Ben-younes et al., ICCV 2017."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polyfuse.layers.inputs import NormedMeans, linear, one_token
from polyfuse.records import Fused, Tokens

TANH_SCALE = 0.63  # deviation of tanh of a normal variable


class Tucker(nn.Module):
    """core x1 tanh(U x) x2 tanh(V y) x3 O, where every slice of the core is a sum of ``rank`` outer products.

    So the result is O sum_r (M_r tanh(U x)) * (N_r tanh(V y)), MUTAN's form, which N inputs continue as a product of N
    factors; parameters grow linearly with the inputs. An absent input's factors are 1, which leaves the product of the
    others.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        size: of each side of the core.
        rank: of each slice of the core.
        dropout: of the projected inputs, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    See also: ``multiplicative`` for four or more inputs, where a product of all of them is hard to train; ``mfb``.
    """

    paper = "Ben-younes et al.: MUTAN, ICCV 2017"

    def __init__(self, inputs: Sequence[str], width: int, *, size: int = 64, rank: int = 5, dropout: float = 0.1):
        super().__init__()
        self.inputs, self.rank = tuple(inputs), rank
        self.pool, self.drop = NormedMeans(self.inputs, width), nn.Dropout(dropout)
        self.project = nn.ModuleList(linear(width, size) for _ in self.inputs)
        self.core = nn.ModuleList(linear(size, rank * size, scale=1 / TANH_SCALE, bias=False) for _ in self.inputs)
        self.out = linear(size, width, scale=rank**-0.5)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled_BMD, present_BM = self.pool(tokens)
        product_BX = torch.ones_like(pooled_BMD[:, 0, :1])
        for m, (project, core) in enumerate(zip(self.project, self.core, strict=True)):
            factor_BX = core(self.drop(project(pooled_BMD[:, m]).tanh()))
            product_BX = product_BX * torch.where(present_BM[:, m, None], factor_BX, torch.ones_like(factor_BX))
        x_BD = self.out(product_BX.unflatten(-1, (self.rank, -1)).sum(1))
        return one_token(x_BD, present_BM, tokens)
