"""What encoders of clips share: convolutions in space and in time that padding cannot reach, and spans in seconds."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.layers.norm import MaskedGroupNorm

SPARE = 3  # moments of a clip that are kept for each one that is seen: training sees others in every epoch


def spans_of_times(times_UN: Tensor) -> Tensor:
    """Seconds (U, N, 2) that each picture stands for, of their times (U, N): half way to its neighbours."""
    place_N = torch.arange(times_UN.shape[1], device=times_UN.device)
    last = times_UN.shape[1] - 1
    on_UN = times_UN[:, (place_N + 1).clamp_max(last)] - times_UN
    back_UN = times_UN - times_UN[:, (place_N - 1).clamp_min(0)]
    before_UN, after_UN = torch.where(place_N == 0, on_UN, back_UN), torch.where(place_N == last, back_UN, on_UN)
    return torch.stack([(times_UN - before_UN / 2).clamp_min(0), times_UN + after_UN / 2], -1)


class Spatial(nn.Conv2d):
    """A convolution of each picture alone whose filters sum to 0: an even background says nothing. (U * N, C, H, W)."""

    def __init__(self, size: int, width: int, *, stride: int = 1, side: int = 3):
        super().__init__(size, width, side, stride=stride, padding=side // 2, bias=False)

    def forward(self, x_PCHW: Tensor) -> Tensor:
        """Shapes: (P, C, H, W) -> (P, C', H', W')."""
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x_PCHW, centred, None, self.stride, self.padding)


class Temporal(nn.Module):
    """A convolution over three pictures at one place, as a linear layer of all three.

    Args:
        size, width: channels before and behind.
    """

    def __init__(self, size: int, width: int):
        super().__init__()
        self.mix = nn.Linear(3 * size, width, bias=False)

    def forward(self, x_UNFC: Tensor) -> Tensor:
        """Shapes: (U, N, F, C), 0 at padding -> (U, N, F, C')."""
        before, after = F.pad(x_UNFC, (0, 0, 0, 0, 1, 0))[:, :-1], F.pad(x_UNFC, (0, 0, 0, 0, 0, 1))[:, 1:]
        return self.mix(torch.cat([before, x_UNFC, after], -1))


class Factorized(nn.Module):
    """A residual block of a convolution in space and one in time, each behind a normalisation over the clip.

    Tran et al., A closer look at spatiotemporal convolutions for action recognition, CVPR 2018.

    Args:
        size, width: channels before and behind.
        stride: in space.
    """

    def __init__(self, size: int, width: int, *, stride: int = 1):
        super().__init__()
        self.norm_in, self.norm_mid = MaskedGroupNorm(size), MaskedGroupNorm(width)
        self.space, self.time = Spatial(size, width, stride=stride), Temporal(width, width)
        changes = size != width or stride > 1
        self.shortcut = nn.Conv2d(size, width, 1, stride=stride, bias=False) if changes else None

    def forward(self, x_UNCHW: Tensor, real_UN: Tensor) -> Tensor:
        """Shapes: (U, N, C, H, W), real (U, N) -> (U, N, C', H', W')."""
        count = x_UNCHW.shape[1]
        normed = over_clip(self.norm_in, x_UNCHW, real_UN)
        spread = self.space(F.relu(normed).flatten(0, 1)).unflatten(0, (-1, count))
        normed = F.relu(over_clip(self.norm_mid, spread, real_UN))
        moved = self.time(normed.flatten(3).transpose(2, 3)).transpose(2, 3).unflatten(3, spread.shape[3:])
        same = x_UNCHW if self.shortcut is None else self.shortcut(x_UNCHW.flatten(0, 1)).unflatten(0, (-1, count))
        return moved + same


def over_clip(norm: MaskedGroupNorm, x_UNCHW: Tensor, real_UN: Tensor) -> Tensor:
    """A normalisation over the pictures of a clip: (U, N, C, H, W), exactly 0 at padding."""
    high_wide = x_UNCHW.shape[3:]
    return norm(x_UNCHW.flatten(3).transpose(2, 3), real_UN).transpose(2, 3).unflatten(3, high_wide)
