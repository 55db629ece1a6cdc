"""Co-attention: a stream per input; in each block every stream attends to all the others, then to itself.

Lu, Batra, Parikh, Lee: ViLBERT, NeurIPS 2019, with any number of streams.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyfuse.layers.attention import Block, CrossBlock
from polyfuse.layers.streams import Joined
from polyfuse.records import Fused, Tokens


class CoAttention(nn.Module):
    """Parallel streams that attend to each other, then each to itself, in every block.

    All streams of a block read the others as they were before it. A stream's context is all the other inputs
    together, each token marked with its modality, so that one softmax weighs one input against another.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result; a multiple of ``heads``.
        depth: number of blocks.
        heads: attention heads.
        dropout: in the blocks, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1 + sum of T_m, D), the summary token first (``prefix`` 1).

    See also: ``attention``, with half the parameters at two inputs and less than a fifth at five; ``bidirectional``,
    where no input should drown out another.
    """

    paper = "Lu, Batra, Parikh, Lee: ViLBERT, NeurIPS 2019"

    def __init__(self, inputs: Sequence[str], width: int, *, depth: int = 1, heads: int = 4, dropout: float = 0.1):
        super().__init__()
        self.inputs = tuple(inputs)
        count = len(self.inputs)
        self.modality = nn.Parameter(torch.randn(count, width) * 0.02)
        self.layers = nn.ModuleList(_CoLayer(count, width, heads=heads, dropout=dropout) for _ in range(depth))
        self.joined = Joined(count, width)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        parts = {name: tokens[name] for name in self.inputs}
        streams = [p.x_BTD + e for p, e in zip(parts.values(), self.modality, strict=True)]
        masks = [p.mask_BT for p in parts.values()]
        for layer in self.layers:
            streams = layer(streams, masks)
        return self.joined(parts, streams)


class _CoLayer(nn.Module):
    """One block of every stream: attention over the others (where there are others), then over itself."""

    def __init__(self, count: int, width: int, *, heads: int, dropout: float):
        super().__init__()
        crossed = count if count > 1 else 0
        self.cross = nn.ModuleList(CrossBlock(width, heads=heads, dropout=dropout) for _ in range(crossed))
        self.own = nn.ModuleList(Block(width, heads=heads, dropout=dropout) for _ in range(count))

    def forward(self, streams: list[Tensor], masks: list[Tensor]) -> list[Tensor]:
        """M streams (B, T_m, D) and masks (B, T_m) -> M streams."""
        if self.cross:
            streams = [
                cross(streams[m], torch.cat(_all_but(streams, m), 1), torch.cat(_all_but(masks, m), 1))
                for m, cross in enumerate(self.cross)
            ]
        return [own(x_BTD, mask_BT) for own, x_BTD, mask_BT in zip(self.own, streams, masks, strict=True)]


def _all_but(items: list[Tensor], at: int) -> list[Tensor]:
    return items[:at] + items[at + 1 :]
