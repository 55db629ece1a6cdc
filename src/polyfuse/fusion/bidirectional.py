"""Bidirectional attention: for every pair of inputs, each attends to the other; what an input hears is averaged.

Cross-attention both ways as in Lu, Batra, Parikh, Lee: ViLBERT, NeurIPS 2019, one attention per ordered pair.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyfuse.layers.attention import Attention, FeedForward
from polyfuse.layers.streams import Joined
from polyfuse.records import Fused, Tokens


class Bidirectional(nn.Module):
    """X <- X + A(X, Y) and Y <- Y + A(Y, X) for every pair, the mean over the partners present in the row.

    The mean gives every present partner an equal say, however many tokens it has. Cost grows with the square of
    the number of inputs.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result; a multiple of ``heads``.
        depth: number of exchanges, each with weights of its own.
        heads: attention heads.
        dropout: in the blocks, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1 + sum of T_m, D), the summary token first (``prefix`` 1).

    See also: ``co_attention``, one attention over all partners, where relevance should decide between them;
    ``crossmodal_transformer``, whose pairs keep apart until the end; ``attention`` for more than three inputs.
    """

    paper = "Lu, Batra, Parikh, Lee: ViLBERT, NeurIPS 2019"

    def __init__(self, inputs: Sequence[str], width: int, *, depth: int = 1, heads: int = 4, dropout: float = 0.1):
        super().__init__()
        self.inputs = tuple(inputs)
        count = len(self.inputs)
        self.layers = nn.ModuleList(_Exchange(count, width, heads=heads, dropout=dropout) for _ in range(depth))
        self.joined = Joined(count, width)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        parts = {name: tokens[name] for name in self.inputs}
        streams, masks = [p.x_BTD for p in parts.values()], [p.mask_BT for p in parts.values()]
        for layer in self.layers:
            streams = layer(streams, masks)
        return self.joined(parts, streams)


class _Exchange(nn.Module):
    """Every input attends to each of the others, then a feed-forward layer of its own."""

    def __init__(self, count: int, width: int, *, heads: int, dropout: float):
        super().__init__()
        pairs = [(to, source) for to in range(count) for source in range(count) if to != source]
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(count if pairs else 0))
        self.attend = nn.ModuleDict(
            {f"{source}_to_{to}": Attention(width, heads=heads, dropout=dropout) for to, source in pairs}
        )
        self.forwards = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), FeedForward(width, dropout=dropout), nn.Dropout(dropout))
            for _ in range(count)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, streams: list[Tensor], masks: list[Tensor]) -> list[Tensor]:
        """M streams (B, T_m, D) and masks (B, T_m) -> M streams."""
        normed = [norm(x_BTD) for norm, x_BTD in zip(self.norms, streams, strict=False)]
        after = []
        for to, (x_BTD, forward_layer) in enumerate(zip(streams, self.forwards, strict=True)):
            if normed:
                x_BTD = x_BTD + self.drop(self._heard(to, normed, masks))
            after.append(x_BTD + forward_layer(x_BTD))
        return after

    def _heard(self, to: int, normed: list[Tensor], masks: list[Tensor]) -> Tensor:
        """Mean over the present partners of what input ``to`` finds in each: (B, T_to, D)."""
        sources = [m for m in range(len(normed)) if m != to]
        # an absent partner gives exactly 0, so that the sum needs no mask
        heard = [self.attend[f"{m}_to_{to}"](normed[to], normed[m], masks[m]) for m in sources]
        count_B = torch.stack([masks[m].any(-1) for m in sources]).sum(0).clamp_min(1)
        return torch.stack(heard).sum(0) / count_B[:, None, None].to(heard[0].dtype)
