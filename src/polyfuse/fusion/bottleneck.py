"""Attention bottlenecks: inputs exchange information through a few shared tokens only.

Nagrani et al.: Attention Bottlenecks for Multimodal Fusion (MBT), NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.layers.attention import Block
from polyfuse.layers.pooling import masked_mean
from polyfuse.layers.streams import Joined
from polyfuse.records import Fused, Tokens


class Bottleneck(nn.Module):
    """Self-attention of every input with a few bottleneck tokens, which are averaged over the inputs after each layer.

    Inputs meet in the tokens' average first, and hear of each other one layer later: two layers from ``start`` on
    are the least in which they interact. The average is over the inputs present in the row. What is read at the end is
    the inputs' own tokens, as in the paper, since bottleneck tokens would hear of a match only after a third layer.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result; a multiple of ``heads``.
        bottlenecks: number of shared tokens.
        depth: number of layers, each with a block per input.
        start: layers before the bottleneck joins in, where inputs attend to themselves alone; less than ``depth``.
        heads: attention heads.
        dropout: in the blocks, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1 + sum of T_m, D), the summary token first (``prefix`` 1).

    Raises:
        ValueError: no bottleneck token, or one that no layer reads.

    See also: ``attention``, where single tokens must find each other; the bottleneck is for long inputs that each
    say much, since its cost is that of the inputs alone.
    """

    paper = "Nagrani et al.: Attention Bottlenecks for Multimodal Fusion, NeurIPS 2021"

    def __init__(
        self,
        inputs: Sequence[str],
        width: int,
        *,
        bottlenecks: int = 4,
        depth: int = 2,
        start: int = 0,
        heads: int = 4,
        dropout: float = 0.1,
    ):
        super().__init__()
        if bottlenecks < 1:
            raise ValueError(f"bottlenecks: expected at least 1, found {bottlenecks}")
        if not 0 <= start < depth:
            raise ValueError(f"start: expected 0 to {depth - 1} (less than depth {depth}), found {start}")
        self.inputs, self.start = tuple(inputs), start
        self.bottleneck = nn.Parameter(torch.randn(bottlenecks, width) * 0.02)
        self.layers = nn.ModuleList(
            nn.ModuleList(Block(width, heads=heads, dropout=dropout) for _ in self.inputs) for _ in range(depth)
        )
        self.joined = Joined(len(self.inputs), width)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        parts = {name: tokens[name] for name in self.inputs}
        streams, masks = [p.x_BTD for p in parts.values()], [p.mask_BT for p in parts.values()]
        b_BLD = self.bottleneck.expand(streams[0].shape[0], -1, -1)
        for at, blocks in enumerate(self.layers):
            if at < self.start:
                streams = [block(x, m) for block, x, m in zip(blocks, streams, masks, strict=True)]  # type: ignore[call-overload]
            else:
                streams, b_BLD = self._meet(blocks, streams, masks, b_BLD)
        return self.joined(parts, streams)

    def _meet(
        self, blocks: Any, streams: list[Tensor], masks: list[Tensor], b_BLD: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """One layer: [x_m; b] through the block of input m; b becomes the mean of what present inputs made of it."""
        length = b_BLD.shape[1]
        seen_BL = b_BLD.new_ones(b_BLD.shape[:2], dtype=torch.bool)
        mixed = [
            block(torch.cat([b_BLD, x_BTD], 1), torch.cat([seen_BL, mask_BT], 1))
            for block, x_BTD, mask_BT in zip(blocks, streams, masks, strict=True)
        ]
        present_BM = torch.stack([mask_BT.any(-1) for mask_BT in masks], 1)
        made_BMX = torch.stack([x_BTD[:, :length].flatten(1) for x_BTD in mixed], 1)
        b_BLD = masked_mean(made_BMX, present_BM).unflatten(-1, (length, -1))
        return [x_BTD[:, length:] for x_BTD in mixed], b_BLD
