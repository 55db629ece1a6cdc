"""A network that guesses log-mel frames from noisy ones, from a time, and from tokens that it reads.

Frames see their neighbours by dilated convolutions (van den Oord et al., WaveNet, 2016), all others by self-attention,
and the tokens by cross-attention. Each knows its place from the beginning and as a share of the whole, so that it knows
where the sound ends.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.heads.flow import Conditions, Time
from polyfuse.layers.attention import Attention
from polyfuse.layers.positions import sinusoidal

KERNEL = 5
DILATIONS = (1, 2, 4)
WAVES = 4  # sines and cosines of a frame's share of the whole


class Frames(nn.Module):
    """Noisy frames -> a guess of the frames, of the same shape.

    Args:
        bins: F of a frame.
        width: D of the tokens that it reads.
        channels: of its layers, a multiple of 4.
        depth: layers.
        dropout: in training.
    """

    def __init__(self, bins: int, width: int, *, channels: int, depth: int, dropout: float):
        super().__init__()
        self.time = Time(width, channels)
        self.stem, self.place = nn.Linear(bins, channels), nn.Linear(2 * WAVES, channels)
        self.read = nn.Linear(width, channels)
        self.layers = nn.ModuleList(Layer(channels, DILATIONS[n % len(DILATIONS)], dropout) for n in range(depth))
        self.norm, self.out = nn.LayerNorm(channels), nn.Linear(channels, bins)

    def forward(self, x_BNF: Tensor, t_B: Tensor, given: Conditions, mask_BN: Tensor) -> Tensor:
        """Shapes: (B, N, F), (B,), mask (B, N) -> (B, N, F)."""
        time_BE = F.silu(self.time(t_B, given.mean_BD))
        x_BNC = self.stem(x_BNF)
        x_BNC = x_BNC + sinusoidal(*x_BNC.shape[1:], like=x_BNC) + self.place(_shares(mask_BN, x_BNC))
        read_BSC = self.read(given.memory.x_BTD)
        for layer in self.layers:
            x_BNC = layer(x_BNC, time_BE, mask_BN, read_BSC, given.memory.mask_BT)
        return self.out(self.norm(x_BNC))


def _shares(mask_BN: Tensor, like: Tensor) -> Tensor:
    """Waves of how much of a sound has passed: (B, N) -> (B, N, 2 * WAVES)."""
    place_N = torch.arange(mask_BN.shape[1], device=mask_BN.device) + 0.5
    share_BN = (place_N / mask_BN.sum(1, keepdim=True).clamp_min(1)).clamp_max(1)
    angles = torch.pi * share_BN[..., None] * 2.0 ** torch.arange(WAVES, device=mask_BN.device)
    return torch.cat([angles.sin(), angles.cos()], -1).to(like.dtype)


class Layer(nn.Module):
    """Neighbours, all frames, then the tokens, each added; time scales and shifts the channels of the first."""

    def __init__(self, channels: int, dilation: int, dropout: float):
        super().__init__()
        self.norm, self.norm_all, self.norm_read = (nn.LayerNorm(channels) for _ in range(3))
        self.film = nn.Linear(channels, 2 * channels)
        padding = dilation * (KERNEL // 2)
        self.near = nn.Conv1d(channels, 2 * channels, KERNEL, padding=padding, dilation=dilation)
        self.mix = nn.Linear(channels, channels)
        self.all, self.ask = Attention(channels, dropout=dropout), Attention(channels, dropout=dropout)
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BNC: Tensor, time_BE: Tensor, mask_BN: Tensor, read_BSC: Tensor, mask_BS: Tensor) -> Tensor:
        """Shapes: (B, N, C), (B, C), mask (B, N), tokens (B, S, C) and their mask (B, S) -> (B, N, C)."""
        scale, shift = self.film(time_BE)[:, None].chunk(2, -1)
        inner = (self.norm(x_BNC) * (1 + scale) + shift) * mask_BN[..., None]  # frames that are none are silent
        near = F.glu(self.near(inner.transpose(1, 2)), 1).transpose(1, 2)
        x_BNC = x_BNC + self.drop(self.mix(near))
        inner = self.norm_all(x_BNC)
        x_BNC = x_BNC + self.drop(self.all(inner, inner, mask_BN))
        return x_BNC + self.drop(self.ask(self.norm_read(x_BNC), read_BSC, mask_BS))
