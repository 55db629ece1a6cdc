"""Pictures as a grid of tokens (Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.layers.positions import sinusoidal


def grid_positions(height: int, width: int, size: int, *, like: Tensor) -> Tensor:
    """Sinusoidal code of row and column, half of the channels each: (height * width, size)."""
    rows = sinusoidal(height, size - size // 2, like=like)[:, None].expand(-1, width, -1)
    columns = sinusoidal(width, size // 2, like=like)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1)


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
        folded = x_BCHW.unfold(2, self.side, self.side).unfold(3, self.side, self.side)
        rows, columns = folded.shape[2:4]
        return self.embed(folded.permute(0, 2, 3, 1, 4, 5).reshape(-1, rows * columns, self.embed.in_features)), (
            rows,
            columns,
        )
