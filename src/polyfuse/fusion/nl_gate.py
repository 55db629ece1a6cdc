"""Non-local gate: one input's tokens each add what they find among the others' tokens. Wang et al., CVPR 2018."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polyfuse.layers.attention import Attention, FeedForward
from polyfuse.layers.inputs import choose_input, one_token, pad_absent_rows, replace_values
from polyfuse.layers.pooling import masked_mean
from polyfuse.records import Fused, Tokens


class NLGate(nn.Module):
    """q + softmax(q k) v: the tokens of one input look up the tokens of all the others, and add what they find.

    Rows without other inputs add exactly nothing. Where the asking input is absent, one token of zeros asks in its
    place. A single input looks itself up, as in the paper. The sum alone is additive where the others have a single
    token; the feed-forward layers after it are what lets inputs interact then.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result; a multiple of ``heads``.
        query: the input that asks; ``auto`` is the first.
        heads: attention heads; the paper has 1, which with three inputs was seen to stick to one of the others.
        depth: feed-forward layers after the sum; the paper has 0.
        dropout: of attention weights and inside the layers, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D), the mean of the asking tokens; they themselves stand in
    ``by_input``.

    Raises:
        ValueError: ``query`` names no input.

    See also: ``attention`` where every input must be able to ask every other.
    """

    paper = "Wang et al.: Non-local neural networks, CVPR 2018"

    def __init__(
        self,
        inputs: Sequence[str],
        width: int,
        *,
        query: str = "auto",
        heads: int = 4,
        depth: int = 1,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.inputs = tuple(inputs)
        self.query = choose_input(self.inputs, query)
        self.others = tuple(name for name in self.inputs if name != self.query) or (self.query,)
        self.norm = nn.LayerNorm(width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.others)
        self.attention = Attention(width, heads=heads, dropout=dropout)
        self.trunk = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), FeedForward(width, dropout=dropout)) for _ in range(depth)
        )

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        context_BSD = torch.cat([n(tokens[o].x_BTD) for n, o in zip(self.norms, self.others, strict=True)], 1)
        mask_BS = torch.cat([tokens[other].mask_BT for other in self.others], 1)
        seen = pad_absent_rows(tokens[self.query])
        x_BTD = seen.x_BTD + self.attention(self.norm(seen.x_BTD), context_BSD, mask_BS)
        for layer in self.trunk:
            x_BTD = x_BTD + layer(x_BTD)
        some_B1 = (mask_BS.any(1) | tokens[self.query].present_B)[:, None]
        fused = one_token(masked_mean(x_BTD, seen.mask_BT), some_B1, tokens)
        fused.by_input[self.query] = replace_values(tokens[self.query], x_BTD)
        return fused
