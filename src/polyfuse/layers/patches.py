"""Pictures as a grid of tokens (Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.layers.positions import sinusoidal


def grid_positions(grid: tuple[int, int], width: int, *, like: Tensor) -> Tensor:
    """Sinusoidal code of row and column, half of the channels each: (rows * columns, width)."""
    row_HD = sinusoidal(grid[0], width - width // 2, like=like)[:, None]
    column_WD = sinusoidal(grid[1], width // 2, like=like)[None]
    return torch.cat([row_HD.expand(-1, grid[1], -1), column_WD.expand(grid[0], -1, -1)], -1).flatten(0, 1)


def tokens_of_map(x_BCHW: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """A feature map as tokens, row by row: (B, C, H, W) -> (B, H * W, C) and the grid (H, W)."""
    return x_BCHW.flatten(2).transpose(1, 2), (x_BCHW.shape[2], x_BCHW.shape[3])


class Patches(nn.Module):
    """One token per square of pixels, a linear map of its values.

    Args:
        channels: of the picture.
        width: D.
        side: of the square, in pixels; a picture that it does not divide is extended by zeros, right and below.
    """

    def __init__(self, channels: int, width: int, *, side: int):
        super().__init__()
        self.side, self.embed = side, nn.Linear(channels * side * side, width)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Shapes: (B, C, H, W) -> (B, T, D) and the grid (rows, columns)."""
        height, width = x_BCHW.shape[2:]
        x_BCHW = F.pad(x_BCHW, (0, -width % self.side, 0, -height % self.side))
        x_BCHWab = x_BCHW.unfold(2, self.side, self.side).unfold(3, self.side, self.side)
        x_BHWE = x_BCHWab.permute(0, 2, 3, 1, 4, 5).flatten(3)
        return self.embed(x_BHWE).flatten(1, 2), (x_BHWE.shape[1], x_BHWE.shape[2])
