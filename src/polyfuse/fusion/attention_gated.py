"""Gated cross-attention: one input asks, all the others answer, through gates that start closed.

Alayrac et al.: Flamingo, NeurIPS 2022, x + tanh(alpha) A(x, y) with alpha 0 at the start.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyfuse.layers.attention import Attention, FeedForward
from polyfuse.records import Fused, Tokens
from polyfuse.registry import choose


class GatedAttention(nn.Module):
    """The query input's tokens attend to all other inputs; gates that start at zero leave them unchanged at first.

    A learned token asks beside the query's own, so that a row without the query input still hears the others.
    Behind a closed gate no weight is trained: the first step opens the gates, the second trains what lies behind.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result; a multiple of ``heads``.
        query: the input that asks; ``auto`` is the first.
        depth: number of gated blocks.
        heads: attention heads.
        dropout: in the blocks, in training.

    Shapes: query (B, T, D), others (B, T_m, D) -> joint (B, 1 + T, D), the learned token first; the other inputs
    stay as they are.

    Raises:
        ValueError: ``query`` names no input.

    See also: ``co_attention``, where every input should hear the others. Gated attention is the choice for a
    pre-trained query encoder that must not be disturbed at the start.
    """

    paper = "Alayrac et al.: Flamingo, NeurIPS 2022"

    def __init__(
        self,
        inputs: Sequence[str],
        width: int,
        *,
        query: str = "auto",
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.inputs = tuple(inputs)
        names = {name: name for name in self.inputs}
        self.query: str = choose({"auto": self.inputs[0], **names}, query, "query input")
        self.others = tuple(name for name in self.inputs if name != self.query)
        self.asking = nn.Parameter(torch.randn(width) * 0.02)
        self.modality = nn.Parameter(torch.randn(len(self.others), width) * 0.02) if self.others else None
        self.blocks = nn.ModuleList(
            GatedBlock(width, heads=heads, dropout=dropout, context=bool(self.others)) for _ in range(depth)
        )

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        query = tokens[self.query]
        rows = query.x_BTD.shape[0]
        x_BTD = torch.cat([self.asking.expand(rows, 1, -1).to(query.x_BTD.dtype), query.x_BTD], 1)
        context = self._context([tokens[name] for name in self.others])
        for block in self.blocks:
            x_BTD = block(x_BTD, *context)
        by_input = {name: tokens[name] for name in self.inputs}
        by_input[self.query] = Tokens(x_BTD[:, 1:], query.mask_BT, query.grid, query.prefix, query.span_BT2)
        # no ``prefix``: heads read the mean of all tokens, for only the query's own know what it says
        return Fused(Tokens(x_BTD, torch.cat([query.mask_BT.new_ones(rows, 1), query.mask_BT], 1)), by_input)

    def _context(self, parts: list[Tokens]) -> tuple[Tensor, ...]:
        """The other inputs' tokens, each marked with its modality, and their mask; nothing where there are none."""
        if self.modality is None:
            return ()
        marked = [p.x_BTD + e for p, e in zip(parts, self.modality, strict=True)]
        return torch.cat(marked, 1), torch.cat([p.mask_BT for p in parts], 1)


class GatedBlock(nn.Module):
    """Cross-attention, then a feed-forward layer, each added through a gate tanh(alpha) that starts at 0.

    Args:
        width: D.
        heads: attention heads.
        dropout: in training.
        context: False builds the feed-forward half alone.
    """

    def __init__(self, width: int, *, heads: int = 4, dropout: float = 0.0, context: bool = True):
        super().__init__()
        self.attention = Attention(width, heads=heads, dropout=dropout) if context else None
        if context:
            self.norm_attention, self.norm_context = nn.LayerNorm(width), nn.LayerNorm(width)
            self.gate_attention = nn.Parameter(torch.zeros(()))
        self.norm_forward, self.forward_layer = nn.LayerNorm(width), FeedForward(width, dropout=dropout)
        self.gate_forward = nn.Parameter(torch.zeros(()))
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, context_BSD: Tensor | None = None, mask_BS: Tensor | None = None) -> Tensor:
        """Shapes: (B, T, D), (B, S, D) and its mask (B, S) -> (B, T, D)."""
        if self.attention is not None:
            mixed_BTD = self.attention(self.norm_attention(x_BTD), self.norm_context(context_BSD), mask_BS)
            x_BTD = x_BTD + self.gate_attention.tanh() * self.drop(mixed_BTD)
        return x_BTD + self.gate_forward.tanh() * self.drop(self.forward_layer(self.norm_forward(x_BTD)))
