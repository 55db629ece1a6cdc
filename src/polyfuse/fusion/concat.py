"""Concatenation: pool every input, join the vectors on D, mix them with an MLP. Ngiam et al., ICML 2011."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polyfuse.layers.pooling import masked_mean
from polyfuse.records import Fused, Tokens


class Concat(nn.Module):
    """Pooled inputs joined on D, then an MLP: the strong plain baseline.

    An absent input contributes zeros. A linear path beside the MLP keeps it at least as good as a linear model on
    small tables.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        depth: hidden layers of the MLP; 0 is linear.
        dropout: after every hidden layer, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    See also: ``attention`` where which word meets which image region matters.
    """

    paper = "Ngiam et al.: Multimodal deep learning, ICML 2011"

    def __init__(self, inputs: Sequence[str], width: int, *, depth: int = 1, dropout: float = 0.1):
        super().__init__()
        self.inputs = tuple(inputs)
        joined = width * len(self.inputs)
        self.linear = nn.Linear(joined, width)
        layers: list[nn.Module] = [nn.LayerNorm(joined)]
        for _ in range(depth):
            layers += [nn.Linear(joined, joined), nn.GELU(), nn.Dropout(dropout)]
        self.mix = nn.Sequential(*layers, nn.Linear(joined, width)) if depth else None

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled = [masked_mean(tokens[name].x_BTD, tokens[name].mask_BT) for name in self.inputs]
        joined_BX = torch.cat(pooled, -1)
        x_BD = self.linear(joined_BX)
        if self.mix is not None:
            x_BD = x_BD + self.mix(joined_BX)
        present_B = torch.stack([tokens[name].present_B for name in self.inputs]).any(0)
        return Fused(Tokens(x_BD[:, None], present_B[:, None]), dict(tokens))
