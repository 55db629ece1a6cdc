"""From one stream of tokens per input to the result of a fusion: what fusions with parallel streams end with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from polyfuse.layers.pooling import masked_last, masked_mean
from polyfuse.records import Fused, Tokens

POOLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mean": masked_mean, "last": masked_last}


class Joined(nn.Module):
    """Every stream normalised and pooled, the pooled vectors joined on D into one summary token.

    An absent input contributes zeros. The summary reads every stream, so that everything before it is trained
    whichever tokens a head reads.

    Args:
        count: M, the number of streams.
        width: D.
        pool: ``mean`` or ``last`` (the last real token).

    Shapes: M streams (B, T_m, D) -> joint (B, 1 + sum of T_m, D), the summary token first (``prefix`` 1).
    """

    def __init__(self, count: int, width: int, *, pool: str = "mean"):
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"pool: expected one of {', '.join(POOLS)}, found {pool!r}")
        self.pool = pool
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(count))
        self.join = nn.Linear(count * width, width)

    def forward(self, tokens: Mapping[str, Tokens], streams: Sequence[Tensor]) -> Fused:
        """The inputs as they came, in order, and their streams -> Fused."""
        normed = [norm(x_BTD) for norm, x_BTD in zip(self.norms, streams, strict=True)]
        by_input = {
            name: replace(before, x_BTD=x_BTD) for (name, before), x_BTD in zip(tokens.items(), normed, strict=True)
        }
        pooled = [POOLS[self.pool](t.x_BTD, t.mask_BT) for t in by_input.values()]
        summary_BD = self.join(torch.cat(pooled, -1))
        masks = [t.mask_BT for t in by_input.values()]
        x_BTD = torch.cat([summary_BD[:, None], *normed], 1)
        return Fused(
            Tokens(x_BTD, torch.cat([masks[0].new_ones(summary_BD.shape[0], 1), *masks], 1), prefix=1), by_input
        )
