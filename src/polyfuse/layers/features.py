"""Blocks of features, what is known of rows without training a network: a dense matrix, or a bag of weighted ids."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Bag:
    """Sparse rows: row b has ``weights_BK[b, k]`` at column ``ids_BK[b, k]``; an id that stands twice adds up.

    Padding has weight 0, whatever its id.

    Args:
        ids_BK: int64, from 0 to ``size`` - 1.
        weights_BK: float.
        size: number of columns.

    See also:
        A dense block is a plain tensor (B, F).
    """

    ids_BK: Tensor
    weights_BK: Tensor
    size: int

    def to(self, device: torch.device | str) -> Bag:
        """A copy whose tensors lie on ``device``."""
        return Bag(self.ids_BK.to(device), self.weights_BK.to(device), self.size)


Block = Tensor | Bag


def width(block: Block) -> int:
    """Number of columns of a block."""
    return block.size if isinstance(block, Bag) else block.shape[1]


def rows(block: Block) -> int:
    """Number of rows of a block."""
    return (block.ids_BK if isinstance(block, Bag) else block).shape[0]


torch.export.register_dataclass(Bag)
