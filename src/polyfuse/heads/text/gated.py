"""Gated cross-attention before some layers of a language model, which so sees what it was never trained to see.

Alayrac et al., Flamingo: a Visual Language Model for Few-Shot Learning, NeurIPS 2022. Gates begin at 0, so that at
first the model writes as it does alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.layers.attention import Attention, FeedForward

Kept = tuple[Tensor, Tensor]
"""Keys and values (B, H, S, D / H)."""
_SEEN: ContextVar[dict[int, tuple[Kept, Tensor]]] = ContextVar("seen", default={})  # noqa: B039 - never changed in place


class GatedBlock(nn.Module):
    """Cross-attention, then a feed-forward layer, each added to the states behind a gate of its own, tanh of a number.

    Args:
        width: D of the states and of what is seen.
        heads: attention heads; they divide the width.
        dropout: of attention weights and within the feed-forward layer, in training.
    """

    def __init__(self, width: int, *, heads: int, dropout: float = 0.0):
        super().__init__()
        self.norm_attention, self.norm_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads, dropout=dropout)
        self.forward_layer = FeedForward(width, dropout=dropout)
        self.gate_attention, self.gate_forward = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x_BTD: Tensor, kept: Kept, mask_BS: Tensor) -> Tensor:
        """States (B, T, D), keys and values of what is seen, and its mask (B, S) -> (B, T, D)."""
        mixed_BTD = self.attention.over(self.norm_attention(x_BTD), *kept, mask_BS)
        x_BTD = x_BTD + self.gate_attention.tanh() * mixed_BTD
        return x_BTD + self.gate_forward.tanh() * self.forward_layer(self.norm_forward(x_BTD))

    def before(self, layer: nn.Module, args: tuple, given: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:  # noqa: ARG002 - as torch calls it
        """A hook in front of a layer: its states pass through this block first, while something is seen."""
        seen = _SEEN.get().get(id(self))
        if seen is None:
            return None
        if args:
            return (self(args[0], *seen), *args[1:]), given
        return args, {**given, "hidden_states": self(given["hidden_states"], *seen)}


class GatedBlocks(nn.Module):
    """A block before every so many layers: before the last of each group, so that nothing before the first is changed.

    Args:
        layers: of the language model.
        width: D of its states.
        every: layers in a group.
        heads: attention heads of its own; fewer where they do not divide the width.
        dropout: see ``GatedBlock``.

    Raises:
        ValueError: the model has fewer layers than a group.
    """

    def __init__(self, layers: Sequence[nn.Module], width: int, *, every: int, heads: int, dropout: float):
        super().__init__()
        if not 1 <= every <= len(layers):
            raise ValueError(f"every: expected 1 to {len(layers)}, the layers of the model, found {every!r}")
        heads = max(h for h in range(1, heads + 1) if width % h == 0)
        chosen = [layer for n, layer in enumerate(layers, 1) if n % every == 0]
        self.blocks = nn.ModuleList(GatedBlock(width, heads=heads, dropout=dropout) for _ in chosen)
        for layer, block in zip(chosen, self.blocks, strict=True):
            layer.register_forward_pre_hook(block.before, with_kwargs=True)  # type: ignore[arg-type]

    def keys_values(self, x_BSD: Tensor) -> list[Kept]:
        """Keys and values of what is to be seen, for each block."""
        return [block.attention.keys_values(x_BSD) for block in self.blocks]  # type: ignore[operator, union-attr]

    @contextmanager
    def seeing(self, kept: Sequence[Kept], mask_BS: Tensor) -> Iterator[None]:
        """Within, the layers see this, in this thread alone."""
        own = {id(block): (pair, mask_BS) for block, pair in zip(self.blocks, kept, strict=True)}
        before = _SEEN.set({**_SEEN.get(), **own})
        try:
            yield
        finally:
            _SEEN.reset(before)
