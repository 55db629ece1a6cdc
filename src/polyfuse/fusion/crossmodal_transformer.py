"""Crossmodal transformer: for every ordered pair of inputs a stack in which one keeps reading the other.

Tsai et al.: Multimodal Transformer for Unaligned Multimodal Language Sequences (MulT), ACL 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from polyfuse.layers.attention import Block, CrossBlock
from polyfuse.layers.streams import Joined
from polyfuse.records import Fused, Tokens

RECOMPUTED_FROM = 4  # inputs; with fewer, what all stacks keep for the backward pass fits


class CrossmodalTransformer(nn.Module):
    """Directed stacks Y -> X for every ordered pair, joined on D per target, then self-attention, pooling, joining.

    Every layer of a stack reads the source as it came. Residuals carry what was not normalised, as usual before
    normalisation moved (the paper prints the normalised one). Positions and convolutions belong to the encoders.
    Weights grow with the square of the number of inputs, those of the self-attention with its cube; from four inputs
    on, training computes each target a second time in the backward pass rather than keep what it did.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result; a multiple of ``heads``.
        depth: layers of every pair's stack.
        self_depth: layers of self-attention per target, of width (M - 1) D.
        heads: attention heads.
        pool: ``mean`` of a target's tokens or the ``last`` one.
        dropout: in the blocks, in training.

    Shapes: each input (B, T_m, D), of unequal lengths -> joint (B, 1 + sum of T_m, D), the summary token first
    (``prefix`` 1).

    See also: ``bottleneck`` or ``attention`` for more than three inputs, at a tenth of the cost.
    """

    paper = "Tsai et al.: MulT, ACL 2019"

    def __init__(
        self,
        inputs: Sequence[str],
        width: int,
        *,
        depth: int = 2,
        self_depth: int = 1,
        heads: int = 4,
        pool: str = "mean",
        dropout: float = 0.1,
    ):
        super().__init__()
        self.inputs = tuple(inputs)
        count = len(self.inputs)
        self.targets = nn.ModuleList(
            _Target(count - 1, width, depth=depth, self_depth=self_depth, heads=heads, dropout=dropout)
            for _ in self.inputs
        )
        self.joined = Joined(count, width, pool=pool)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        parts = {name: tokens[name] for name in self.inputs}
        streams = [self._stream(name, target, parts) for name, target in zip(self.inputs, self.targets, strict=True)]
        return self.joined(parts, streams)

    def _stream(self, name: str, target: nn.Module, parts: dict[str, Tokens]) -> Tensor:
        given = parts[name], [part for other, part in parts.items() if other != name]
        if self.training and torch.is_grad_enabled() and len(self.inputs) >= RECOMPUTED_FROM:
            return checkpoint(target, *given, use_reentrant=False)
        return target(*given)


class _Target(nn.Module):
    """One input as each of the others makes it: a stack per source, joined on D, self-attention, back to D."""

    def __init__(self, sources: int, width: int, *, depth: int, self_depth: int, heads: int, dropout: float):
        super().__init__()
        self.stacks = nn.ModuleList(
            _Stack(CrossBlock(width, heads=heads, dropout=dropout) for _ in range(depth)) for _ in range(sources)
        )
        joined = width * max(1, sources)  # alone, an input meets itself only
        self.blocks = nn.ModuleList(Block(joined, heads=heads, dropout=dropout) for _ in range(self_depth))
        self.project = nn.Linear(joined, width)

    def forward(self, target: Tokens, sources: list[Tokens]) -> Tensor:
        """Tokens (B, T, D) and the others (B, T_m, D) -> (B, T, D)."""
        heard = [stack(target.x_BTD, source) for stack, source in zip(self.stacks, sources, strict=True)]
        x_BTX = torch.cat(heard or [target.x_BTD], -1)
        for block in self.blocks:
            x_BTX = block(x_BTX, target.mask_BT)
        return self.project(x_BTX)


class _Stack(nn.ModuleList):
    """One input, layer by layer reading another as it came: (B, T, D) -> (B, T, D)."""

    def forward(self, x_BTD: Tensor, source: Tokens) -> Tensor:
        for block in self:
            x_BTD = block(x_BTD, source.x_BTD, source.mask_BT)
        return x_BTD
