"""Hybrid fusion: an early path over all inputs and a late path of one tower each, joined by a gate or by attention.

After Lan et al.: Double fusion for multimedia event detection, MMM 2012, which votes over both.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyfuse.layers.attention import Attention, FeedForward
from polyfuse.layers.inputs import mean_tokens, one_token
from polyfuse.layers.pooling import masked_mean
from polyfuse.records import Fused, Tokens

JOINS = ("gate", "attention")


class Hybrid(nn.Module):
    """An early path e = MLP([x1..xN]) and a late path of towers l_i(x_i), joined.

    With ``gate``, the result is g * e + (1 - g) * mean of l_i, where g = sigmoid(W[e; mean of l_i]) per dimension. With
    ``attention``, the early path asks and all paths answer: e + attention(e over [e, l_1, .., l_N]). Towers of absent
    inputs take no part in the mean or the attention; in the early path they are zeros.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        join: ``gate`` or ``attention``.
        heads: attention heads, where ``join`` is ``attention``.
        dropout: inside both paths, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    Raises:
        ValueError: an unknown ``join``.

    See also: ``concat`` or ``late``, its halves, cheaper where it is known which of them suits the table.
    """

    paper = "Lan et al.: Double fusion, MMM 2012"

    def __init__(self, inputs: Sequence[str], width: int, *, join: str = "gate", heads: int = 4, dropout: float = 0.1):
        super().__init__()
        if join not in JOINS:
            raise ValueError(f"join: expected one of {', '.join(JOINS)}, found {join!r}")
        self.inputs, joined = tuple(inputs), width * len(inputs)
        self.first = nn.Linear(joined, width)
        self.early = nn.Sequential(
            nn.LayerNorm(joined), nn.Linear(joined, joined), nn.GELU(), nn.Dropout(dropout), nn.Linear(joined, width)
        )
        self.towers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), FeedForward(width, dropout=dropout)) for _ in self.inputs
        )
        self.gate = nn.Linear(2 * width, width) if join == "gate" else None
        self.norm = nn.LayerNorm(width) if join == "attention" else None
        self.attention = Attention(width, heads=heads) if join == "attention" else None

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled_BMD, present_BM = mean_tokens(tokens, self.inputs)
        joined_BX = pooled_BMD.flatten(1)
        early_BD = self.first(joined_BX) + self.early(joined_BX)
        late = [x_BD + tower(x_BD) for x_BD, tower in zip(pooled_BMD.unbind(1), self.towers, strict=True)]
        late_BMD = torch.stack(late, 1)
        join = self._gated if self.gate is not None else self._attended
        return one_token(join(early_BD, late_BMD, present_BM), present_BM, tokens)

    def _gated(self, early_BD: Tensor, late_BMD: Tensor, present_BM: Tensor) -> Tensor:
        assert self.gate is not None
        late_BD = masked_mean(late_BMD, present_BM)
        gate_BD = self.gate(torch.cat([early_BD, late_BD], -1)).sigmoid()
        return gate_BD * early_BD + (1 - gate_BD) * late_BD

    def _attended(self, early_BD: Tensor, late_BMD: Tensor, present_BM: Tensor) -> Tensor:
        assert self.norm is not None
        assert self.attention is not None
        paths_BPD = self.norm(torch.cat([early_BD[:, None], late_BMD], 1))
        seen_BP = torch.cat([torch.ones_like(present_BM[:, :1]), present_BM], 1)
        return early_BD + self.attention(paths_BPD[:, :1], paths_BPD, seen_BP)[:, 0]
