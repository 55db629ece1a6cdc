"""Modality experts: all tokens attend to each other in shared layers, each modality keeps a feed-forward of its own.

Bao et al.: VLMo, NeurIPS 2022; Wang et al.: BEiT-3, CVPR 2023.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyfuse.layers.attention import Attention, FeedForward
from polyfuse.layers.streams import Joined
from polyfuse.records import Fused, Tokens


class Experts(nn.Module):
    """Self-attention over the tokens of all inputs, then a feed-forward layer per input.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result; a multiple of ``heads``.
        depth: number of blocks.
        heads: attention heads.
        dropout: in the blocks, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1 + sum of T_m, D), the summary token first (``prefix`` 1).

    See also: ``attention``, the same with one feed-forward layer for all, which small tables train better.
    """

    paper = "Bao et al.: VLMo, NeurIPS 2022"

    def __init__(self, inputs: Sequence[str], width: int, *, depth: int = 2, heads: int = 4, dropout: float = 0.1):
        super().__init__()
        self.inputs = tuple(inputs)
        count = len(self.inputs)
        self.modality = nn.Parameter(torch.randn(count, width) * 0.02)
        self.blocks = nn.ModuleList(ExpertBlock(count, width, heads=heads, dropout=dropout) for _ in range(depth))
        self.joined = Joined(count, width)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        parts = {name: tokens[name] for name in self.inputs}
        streams = [p.x_BTD + e for p, e in zip(parts.values(), self.modality, strict=True)]
        mask_BT = torch.cat([p.mask_BT for p in parts.values()], 1)
        for block in self.blocks:
            streams = block(streams, mask_BT)
        return self.joined(parts, streams)


class ExpertBlock(nn.Module):
    """A pre-norm block with shared attention over M streams and an expert (norm, feed-forward) for each.

    Args:
        count: M.
        width: D.
        heads: attention heads.
        dropout: in training.
    """

    def __init__(self, count: int, width: int, *, heads: int = 4, dropout: float = 0.0):
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads, dropout=dropout)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), FeedForward(width, dropout=dropout), nn.Dropout(dropout))
            for _ in range(count)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, streams: list[Tensor], mask_BT: Tensor) -> list[Tensor]:
        """Shapes: M streams (B, T_m, D), joint mask (B, sum of T_m) -> M streams."""
        x_BTD = torch.cat(streams, 1)
        normed_BTD = self.norm_attention(x_BTD)
        x_BTD = x_BTD + self.drop(self.attention(normed_BTD, normed_BTD, mask_BT))
        after = x_BTD.split([x.shape[1] for x in streams], 1)
        return [x + expert(x) for x, expert in zip(after, self.experts, strict=True)]
