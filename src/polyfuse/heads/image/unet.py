"""A small U-Net that guesses a picture from a noisy one, from a time, and from tokens that it reads.

Ronneberger et al., U-Net, MICCAI 2015, as Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020, have it:
residual blocks scaled and shifted by time, attention where the map is smallest. What was seen on the way down is added
on the way up, and squares of 2 x 2 pixels are channels from the start: both make it fit for one core.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.heads.flow import Conditions, Time
from polyfuse.layers.attention import Block, CrossBlock

PATCH = 2  # pixels, of a square that becomes channels
GROUPS = 8  # of a normalisation
LARGE = 32  # side from which the map is halved once more


class UNet(nn.Module):
    """A noisy picture -> a guess of the picture, of the same shape.

    Args:
        channels: of the picture, 1 or 3.
        size: (height, width), multiples of 4; of 8 from 32 pixels on.
        width: D of the tokens that it reads.
        base: channels of the largest map; a multiple of 8.
        depth: residual blocks per size of the map.
        dropout: in training.
    """

    def __init__(self, channels: int, size: tuple[int, int], width: int, *, base: int, depth: int, dropout: float):
        super().__init__()
        levels = [base, 2 * base, 2 * base] if min(size) >= LARGE else [base, 2 * base]
        inner = levels[-1]
        self.time = Time(width, inner)
        self.stem = nn.Conv2d(channels * PATCH**2, base, 3, padding=1)
        self.down = nn.ModuleList(Level(own, depth, inner, dropout) for own in levels)
        self.up = nn.ModuleList(Level(own, depth, inner, dropout) for own in levels)
        steps = list(pairwise(levels))
        self.shrink = nn.ModuleList(nn.Conv2d(own, below, 3, stride=2, padding=1) for own, below in steps)
        self.enlarge = nn.ModuleList(nn.Conv2d(below, own, 1) for own, below in steps)
        self.read = nn.Linear(width, inner)
        self.look, self.ask = Block(inner, dropout=dropout), CrossBlock(inner, dropout=dropout)
        self.norm = nn.GroupNorm(GROUPS, base)
        self.out = nn.Conv2d(base, channels * PATCH**2, 3, padding=1)

    def forward(self, x_BCHW: Tensor, t_B: Tensor, given: Conditions) -> Tensor:
        """Shapes: (B, C, H, W), (B,) -> (B, C, H, W)."""
        time_BE = F.silu(self.time(t_B, given.mean_BD))
        x = self.down[0](self.stem(F.pixel_unshuffle(x_BCHW, PATCH)), time_BE)
        kept = []
        for shrink, level in zip(self.shrink, self.down[1:], strict=True):
            kept.append(x)
            x = level(shrink(x), time_BE)
        x = self.up[-1](self._attended(x, given), time_BE)
        for enlarge, level in reversed(list(zip(self.enlarge, self.up[:-1], strict=True))):
            x = level(F.interpolate(enlarge(x), scale_factor=2.0) + kept.pop(), time_BE)
        return F.pixel_shuffle(self.out(F.silu(self.norm(x))), PATCH)

    def _attended(self, x_BCHW: Tensor, given: Conditions) -> Tensor:
        """Every place of the smallest map looks at the others, then at the tokens that it is made from."""
        x_BTC = x_BCHW.flatten(2).transpose(1, 2)
        everywhere_BT = x_BTC.new_ones(x_BTC.shape[:2], dtype=torch.bool)
        x_BTC = self.ask(self.look(x_BTC, everywhere_BT), self.read(given.memory.x_BTD), given.memory.mask_BT)
        return x_BTC.transpose(1, 2).unflatten(2, x_BCHW.shape[2:])


class Level(nn.Module):
    """Residual blocks of one size of the map: (B, C, H, W) and times (B, E) -> (B, C, H, W)."""

    def __init__(self, channels: int, depth: int, inner: int, dropout: float):
        super().__init__()
        self.blocks = nn.ModuleList(Residual(channels, inner, dropout) for _ in range(depth))

    def forward(self, x_BCHW: Tensor, time_BE: Tensor) -> Tensor:
        for block in self.blocks:
            x_BCHW = block(x_BCHW, time_BE)
        return x_BCHW


class Residual(nn.Module):
    """Two convolutions, between which time scales and shifts channels; added to the input."""

    def __init__(self, channels: int, inner: int, dropout: float):
        super().__init__()
        self.norm, self.norm_again = nn.GroupNorm(GROUPS, channels), nn.GroupNorm(GROUPS, channels)
        self.conv, self.conv_again = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.film, self.drop = nn.Linear(inner, 2 * channels), nn.Dropout(dropout)

    def forward(self, x_BCHW: Tensor, time_BE: Tensor) -> Tensor:
        """Shapes: (B, C, H, W), (B, E) -> (B, C, H, W)."""
        inner = self.conv(F.silu(self.norm(x_BCHW)))
        scale, shift = self.film(time_BE)[..., None, None].chunk(2, 1)
        inner = F.silu(self.norm_again(inner) * (1 + scale) + shift)
        return x_BCHW + self.conv_again(self.drop(inner))
