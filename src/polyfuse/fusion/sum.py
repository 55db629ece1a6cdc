"""Aligned sum: pool every input, bring each into one common space by a matrix of its own, add them, then a trunk.

Hori et al.: Attention-based multimodal fusion for video description, ICCV 2017, whose plain baseline it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polyfuse.layers.attention import FeedForward
from polyfuse.layers.inputs import mean_tokens, one_token
from polyfuse.records import Fused, Tokens


class Sum(nn.Module):
    """Sum of linearly aligned inputs, sum_i W_i x_i, then a trunk of residual feed-forward layers.

    An absent input adds exactly nothing.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        depth: layers of the trunk; 0 is linear.
        dropout: inside the trunk, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    See also: ``concat``, whose hidden layers are M times as wide, where there are rows enough to train them.
    """

    paper = "Hori et al.: Attention-based multimodal fusion, ICCV 2017"

    def __init__(self, inputs: Sequence[str], width: int, *, depth: int = 1, dropout: float = 0.1):
        super().__init__()
        self.inputs = tuple(inputs)
        self.align = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in self.inputs)
        self.trunk = nn.Sequential(
            *(nn.Sequential(nn.LayerNorm(width), FeedForward(width, dropout=dropout)) for _ in range(depth))
        )

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled_BMD, present_BM = mean_tokens(tokens, self.inputs)
        aligned = [align(x_BD) for align, x_BD in zip(self.align, pooled_BMD.unbind(1), strict=True)]
        x_BD = torch.stack(aligned, 1).sum(1)
        for layer in self.trunk:
            x_BD = x_BD + layer(x_BD)
        return one_token(x_BD, present_BM, tokens)
