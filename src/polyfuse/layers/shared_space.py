"""The shared space: each input as one vector, so that inputs can be compared. After Radford et al., CLIP, ICML 2021."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyfuse.layers.pooling import AttentionPool, masked_max, masked_mean
from polyfuse.records import Tokens

POOLS = ("mean", "max", "attention")
ACTIVATIONS = ("none", "gelu")


class Projection(nn.Module):
    """Tokens of one input (B, T, D) -> its vector in the shared space (B, E), of any length.

    Args:
        width: D.
        size: E.
        hidden: units of a layer between; 0 for none.
        activation: ``none`` for a layer norm before the first linear layer; with ``gelu`` the tokens' mean is bent
            instead: what projected the tokens to D and this are a perceptron then, D the units between.
        dropout: before each linear layer, in training.
        pool: how tokens become one vector: their ``mean``, ``max``, or a mean by learned ``attention``.

    Raises:
        ValueError: an unknown pool or activation.
    """

    def __init__(
        self,
        width: int,
        size: int,
        *,
        hidden: int = 0,
        dropout: float = 0.0,
        pool: str = "mean",
        activation: str = "none",
    ):
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"pool={pool!r}: expected one of {', '.join(POOLS)}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation={activation!r}: expected one of {', '.join(ACTIVATIONS)}")
        self.pool = pool
        self.attention = AttentionPool(width) if pool == "attention" else None
        between: list[nn.Module] = [nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout)] if hidden else []
        first = nn.GELU() if activation == "gelu" else nn.LayerNorm(width)
        self.layers = nn.Sequential(first, nn.Dropout(dropout), *between, nn.Linear(hidden or width, size))

    def forward(self, tokens: Tokens) -> Tensor:
        """One vector per row; meaningless where a row has no token."""
        if self.attention is not None:
            x_BD = self.attention(tokens)
        else:
            x_BD = (masked_max if self.pool == "max" else masked_mean)(tokens.x_BTD, tokens.mask_BT)
        return self.layers(x_BD)


def normalize(x_BE: Tensor) -> Tensor:
    """Vectors of length 1; a vector of zeros stays one."""
    x_BE = x_BE.float()
    return x_BE / torch.linalg.vector_norm(x_BE, dim=-1, keepdim=True).clamp_min(1e-12)
