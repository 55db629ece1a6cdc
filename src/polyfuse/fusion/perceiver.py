"""Perceiver: a fixed number of learned queries read the tokens of all inputs.

Jaegle et al.: Perceiver IO, ICLR 2022; the resampler of Alayrac et al.: Flamingo, NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polyfuse.layers.attention import Block, CrossBlock
from polyfuse.records import Fused, Tokens


class Perceiver(nn.Module):
    """Learned latents attend to all tokens, then to each other, in every layer; the inputs stay as they are.

    Cost grows with the number of tokens times that of latents, not with the square of the tokens.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result; a multiple of ``heads``.
        latents: number of learned queries, L.
        depth: layers of cross-attention and self-attention, each with weights of its own.
        heads: attention heads.
        dropout: in the blocks, in training.

    Shapes: each input (B, T_m, D) -> joint (B, L, D).

    Raises:
        ValueError: no latent.

    See also: ``attention``, where inputs are short and their tokens must find each other.
    """

    paper = "Jaegle et al.: Perceiver IO, ICLR 2022"

    def __init__(
        self,
        inputs: Sequence[str],
        width: int,
        *,
        latents: int = 16,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ):
        super().__init__()
        if latents < 1:
            raise ValueError(f"latents: expected at least 1, found {latents}")
        self.inputs = tuple(inputs)
        self.latents = nn.Parameter(torch.randn(latents, width) * 0.02)
        self.modality = nn.Parameter(torch.randn(len(self.inputs), width) * 0.02)
        self.read = nn.ModuleList(CrossBlock(width, heads=heads, dropout=dropout) for _ in range(depth))
        self.think = nn.ModuleList(Block(width, heads=heads, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        parts = {name: tokens[name] for name in self.inputs}
        marked = [p.x_BTD + e for p, e in zip(parts.values(), self.modality, strict=True)]
        x_BTD, mask_BT = torch.cat(marked, 1), torch.cat([p.mask_BT for p in parts.values()], 1)
        latents_BLD = self.latents.expand(x_BTD.shape[0], -1, -1)
        seen_BL = mask_BT.new_ones(latents_BLD.shape[:2])
        for read, think in zip(self.read, self.think, strict=True):
            latents_BLD = think(read(latents_BLD, x_BTD, mask_BT), seen_BL)
        return Fused(Tokens(self.norm(latents_BLD), seen_BL), parts)
