"""Multi-head attention and transformer blocks, from plain Linear layers, so that LoRA, pruning and int8 reach them.

Vaswani et al., Attention Is All You Need, NeurIPS 2017. A row with nothing to attend to gives exactly 0, in torch
and in exported files alike.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

Seen = tuple[Tensor, Tensor] | None
"""Which keys queries see (B, 1, 1, S), and whether a row has any (B, 1, 1); None where every query sees all."""


class Attention(nn.Module):
    """Attention of queries over a masked context (self-attention when they are the same).

    Args:
        width: D of queries, context and result.
        heads: number of heads; divides ``width``.
        dropout: of attention weights, in training.
    """

    def __init__(self, width: int, *, heads: int = 4, dropout: float = 0.0):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} must be a multiple of heads {heads}")
        self.heads, self.dropout = heads, dropout
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x_BTD: Tensor, context_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        """Shapes: (B, T, D), (B, S, D) and its mask (B, S) -> (B, T, D)."""
        return self.over(x_BTD, *self.keys_values(context_BSD), mask_BS)

    def keys_values(self, context_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a context, for queries that come one by one: (B, S, D) -> twice (B, H, S, D / H)."""
        return self._by_head(self.key, context_BSD), self._by_head(self.value, context_BSD)

    def over(self, x_BTD: Tensor, key_BHSd: Tensor, value_BHSd: Tensor, mask_BS: Tensor) -> Tensor:
        """Attention over kept keys and values, all queries seeing the same: (B, T, D) -> (B, T, D)."""
        return self.seeing(x_BTD, key_BHSd, value_BHSd, self.seen(mask_BS))

    @staticmethod
    def seen(mask_BS: Tensor) -> tuple[Tensor, Tensor]:
        """What every query sees, made once for many."""
        any_B = mask_BS.any(-1)
        # a fully masked row would be NaN: let it see everything, then multiply its result by 0
        return (mask_BS | ~any_B[:, None])[:, None, None, :], any_B[:, None, None]

    def seeing(self, x_BTD: Tensor, key_BHSd: Tensor, value_BHSd: Tensor, seen: Seen) -> Tensor:
        """As ``over``, with what ``seen`` gave."""
        if seen is None:
            return self.mixed(x_BTD, key_BHSd, value_BHSd)
        return self.mixed(x_BTD, key_BHSd, value_BHSd, seen[0]) * seen[1].to(x_BTD.dtype)

    def mixed(
        self, x_BTD: Tensor, key_BHSd: Tensor, value_BHSd: Tensor, seen: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Attention over kept keys and values: (B, T, D) -> (B, T, D).

        Args:
            seen: what each query sees, of a shape that broadcasts to (B, H, T, S); everything by default.
            causal: each query sees the keys up to its own place.
        """
        q, drop = self._by_head(self.query, x_BTD), self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, key_BHSd, value_BHSd, seen, drop, is_causal=causal)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def shares(self, x_BTD: Tensor, key_BHSd: Tensor, mask_BS: Tensor) -> Tensor:
        """How much of its attention each query of ``over`` gives to each key, a mean over heads: (B, T, S).

        The shares of a query sum to 1; they are 0 in a row with nothing to attend to.
        """
        any_B = mask_BS.any(-1)
        q_BHTd = self._by_head(self.query, x_BTD)
        score_BHTS = (q_BHTd @ key_BHSd.transpose(-1, -2)).float() / q_BHTd.shape[-1] ** 0.5
        seen_BS = mask_BS | ~any_B[:, None]
        share_BHTS = score_BHTS.masked_fill(~seen_BS[:, None, None], float("-inf")).softmax(-1)
        return share_BHTS.mean(1) * any_B[:, None, None]

    def _by_head(self, layer: nn.Module, x_BTD: Tensor) -> Tensor:
        return layer(x_BTD).unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Linear, GELU, dropout, Linear: (..., D) -> (..., D)."""

    def __init__(self, width: int, *, expansion: float = 2.0, dropout: float = 0.0):
        hidden = round(width * expansion)
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width))


class Block(nn.Module):
    """A pre-norm transformer block: self-attention, then a feed-forward layer, each added to its input."""

    def __init__(self, width: int, *, heads: int = 4, expansion: float = 2.0, dropout: float = 0.0):
        super().__init__()
        self.norm_attention, self.norm_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads, dropout=dropout)
        self.forward_layer = FeedForward(width, expansion=expansion, dropout=dropout)
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Shapes: (B, T, D), (B, T) -> (B, T, D)."""
        normed = self.norm_attention(x_BTD)
        x_BTD = x_BTD + self.drop(self.attention(normed, normed, mask_BT))
        return x_BTD + self.drop(self.forward_layer(self.norm_forward(x_BTD)))


class CrossBlock(nn.Module):
    """A pre-norm block that reads another sequence: attention over it, then a feed-forward layer, each added.

    Where a row's context is fully masked, only the feed-forward layer acts.
    """

    def __init__(self, width: int, *, heads: int = 4, expansion: float = 2.0, dropout: float = 0.0):
        super().__init__()
        self.norm_attention, self.norm_context = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm_forward = nn.LayerNorm(width)
        self.attention = Attention(width, heads=heads, dropout=dropout)
        self.forward_layer = FeedForward(width, expansion=expansion, dropout=dropout)
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, context_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        """Shapes: (B, T, D), (B, S, D) and its mask (B, S) -> (B, T, D)."""
        mixed_BTD = self.attention(self.norm_attention(x_BTD), self.norm_context(context_BSD), mask_BS)
        x_BTD = x_BTD + self.drop(mixed_BTD)
        return x_BTD + self.drop(self.forward_layer(self.norm_forward(x_BTD)))
