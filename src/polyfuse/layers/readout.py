"""From a joint representation to scores: pooled tokens, normalised, dropped out, one linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from polyfuse.layers.pooling import AttentionPool, masked_max, masked_mean
from polyfuse.records import Tokens

POOLS = ("auto", "mean", "max", "attention")


class Readout(nn.Module):
    """Tokens (B, T, D) -> scores (B, C).

    Args:
        width: D.
        scores: C.
        pool: ``auto`` reads the summary tokens that a fusion puts first (``prefix``), and the mean where there are
            none; ``mean``, ``max`` or ``attention`` read all tokens.
        dropout: before the linear layer, in training.
    """

    def __init__(self, width: int, scores: int, *, pool: str = "auto", dropout: float = 0.1):
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"pool: expected one of {', '.join(POOLS)}, found {pool!r}")
        self.pool = pool
        self.attention = AttentionPool(width) if pool == "attention" else None
        self.norm, self.drop, self.out = nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, scores)

    def forward(self, tokens: Tokens) -> Tensor:
        """Tokens -> scores."""
        return self.out(self.drop(self.norm(self._pooled(tokens))))

    def _pooled(self, tokens: Tokens) -> Tensor:
        if self.attention is not None:
            return self.attention(tokens)
        if self.pool == "max":
            return masked_max(tokens.x_BTD, tokens.mask_BT)
        first = tokens.prefix if self.pool == "auto" and tokens.prefix else tokens.mask_BT.shape[1]
        return masked_mean(tokens.x_BTD[:, :first], tokens.mask_BT[:, :first])
