"""Deep set: one network shared by the tokens of all inputs, pooled, then another. Zaheer et al., NeurIPS 2017."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polyfuse.layers.attention import FeedForward
from polyfuse.layers.inputs import one_token
from polyfuse.layers.pooling import masked_max, masked_mean
from polyfuse.records import Fused, Tokens

POOLS = ("mean", "max")


class DeepSet(nn.Module):
    """rho(pool over inputs of pool over tokens of phi(x + e_i)), with phi and rho shared by all inputs.

    e_i marks a token with its input; without it the result would not depend on which input said what. Inputs count
    equally, however many tokens they have; absent ones are left out.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        pool: ``mean`` or ``max``, of tokens and of inputs.
        depth: residual feed-forward layers of phi, and of rho.
        dropout: inside them, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    Raises:
        ValueError: an unknown ``pool``.

    See also: ``attention`` where tokens must see each other before they are pooled; ``late`` with a tower per input
    where inputs are few and rows many.
    """

    paper = "Zaheer et al.: Deep sets, NeurIPS 2017"

    def __init__(self, inputs: Sequence[str], width: int, *, pool: str = "mean", depth: int = 1, dropout: float = 0.1):
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"pool: expected one of {', '.join(POOLS)}, found {pool!r}")
        self.inputs, self.pool = tuple(inputs), masked_mean if pool == "mean" else masked_max
        self.mark_MD = nn.Parameter(torch.randn(len(self.inputs), width) * 0.1)
        self.phi, self.rho = (
            nn.ModuleList(nn.Sequential(nn.LayerNorm(width), FeedForward(width, dropout=dropout)) for _ in range(depth))
            for _ in range(2)
        )

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled = []
        for name, mark_D in zip(self.inputs, self.mark_MD, strict=True):
            x_BTD = tokens[name].x_BTD + mark_D
            for layer in self.phi:
                x_BTD = x_BTD + layer(x_BTD)
            pooled.append(self.pool(x_BTD, tokens[name].mask_BT))
        present_BM = torch.stack([tokens[name].present_B for name in self.inputs], 1)
        x_BD = self.pool(torch.stack(pooled, 1), present_BM)
        for layer in self.rho:
            x_BD = x_BD + layer(x_BD)
        return one_token(x_BD, present_BM, tokens)
