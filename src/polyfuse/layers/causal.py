"""A block that writes from left to right and reads a context: causal self-attention, cross-attention, feed-forward.

Vaswani et al., Attention Is All You Need, NeurIPS 2017; normalised before each part. Keys and values of what was
written are kept, so that a further token costs one token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyfuse.layers.attention import Attention, FeedForward, Seen

Kept = tuple[Tensor, Tensor]
"""Keys and values (B, H, T, D / H)."""


ROOM = 16  # tokens for which there is room at first


def _with_room(kept: Kept | None, own: Kept, at: int) -> Kept:
    """Keys and values with room for a further token; where there is none, for twice as many."""
    if kept is not None and at < kept[0].shape[2]:
        return kept
    made = []
    for n, new in enumerate(own):
        room = new.new_empty(*new.shape[:2], max(ROOM, 2 * at), new.shape[3])
        if kept is not None:
            room[:, :, :at] = kept[n]
        made.append(room)
    return made[0], made[1]


class CausalBlock(nn.Module):
    """Self-attention over what came before, attention over a context, then a feed-forward layer, each added.

    Args:
        width: D, a multiple of ``heads``.
        heads: attention heads.
        dropout: in training.
    """

    def __init__(self, width: int, *, heads: int = 4, dropout: float = 0.0):
        super().__init__()
        self.norm_before, self.norm_context, self.norm_forward = (nn.LayerNorm(width) for _ in range(3))
        self.before = Attention(width, heads=heads, dropout=dropout)
        self.context = Attention(width, heads=heads, dropout=dropout)
        self.forward_layer = FeedForward(width, expansion=4.0, dropout=dropout)
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, context_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        """A whole text at once, each token seeing those before it.

        Shapes: (B, T, D), (B, S, D) and its mask (B, S) -> (B, T, D).
        """
        return self._read(self._heard(x_BTD), self.context.keys_values(context_BSD), mask_BS)

    def attended(self, x_BTD: Tensor, context_BSD: Tensor, mask_BS: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and what share of its attention each token gave to each of the context, (B, T, S)."""
        x_BTD, context = self._heard(x_BTD), self.context.keys_values(context_BSD)
        share_BTS = self.context.shares(self.norm_context(x_BTD), context[0], mask_BS)
        return self._read(x_BTD, context, mask_BS), share_BTS

    def _heard(self, x_BTD: Tensor) -> Tensor:
        normed = self.norm_before(x_BTD)
        return x_BTD + self.drop(self.before.mixed(normed, *self.before.keys_values(normed), causal=True))

    def step(self, x_N1D: Tensor, kept: Kept | None, at: int, context: Kept, seen: Seen) -> tuple[Tensor, Kept]:
        """One further token of each of N texts, so many of which are about each of B contexts, one after the other.

        Args:
            kept: keys and values of the tokens before, with room behind them, into which those of this one are written;
                None for the first.
            at: tokens before.
            context: keys and values of the context, from ``self.context.keys_values``.
            seen: what of the context is seen, from ``self.context.seen``.
        """
        normed = self.norm_before(x_N1D)
        own = self.before.keys_values(normed)
        kept = _with_room(kept, own, at)
        for room, new in zip(kept, own, strict=True):
            room[:, :, at : at + 1] = new
        key, value = (room[:, :, : at + 1] for room in kept)
        return self._answered(x_N1D, normed, (key, value), context, seen), kept

    def longer(self, x_N1D: Tensor, before: Kept, context: Kept, seen: Seen) -> tuple[Tensor, Kept]:
        """As ``step``, where keys and values of the tokens before, none at first, come without room and go longer."""
        normed = self.norm_before(x_N1D)
        key, value = (torch.cat(pair, 2) for pair in zip(before, self.before.keys_values(normed), strict=True))
        return self._answered(x_N1D, normed, (key, value), context, seen), (key, value)

    def _answered(self, x_N1D: Tensor, normed: Tensor, own: Kept, context: Kept, seen: Seen) -> Tensor:
        """A token that has read those before it and itself, and the context."""
        x_N1D = x_N1D + self.drop(self.before.mixed(normed, *own))
        asked_BKD = self.norm_context(x_N1D).view(len(context[0]), -1, x_N1D.shape[-1])
        x_N1D = x_N1D + self.drop(self.context.seeing(asked_BKD, *context, seen).view_as(x_N1D))
        return x_N1D + self.drop(self.forward_layer(self.norm_forward(x_N1D)))

    def _read(self, x_BTD: Tensor, context: Kept, mask_BS: Tensor) -> Tensor:
        x_BTD = x_BTD + self.drop(self.context.over(self.norm_context(x_BTD), *context, mask_BS))
        return x_BTD + self.drop(self.forward_layer(self.norm_forward(x_BTD)))
