"""Group normalisation that padding cannot reach (Wu and He, Group Normalization, ECCV 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MaskedGroupNorm(nn.Module):
    """Each group of channels is brought to mean 0 and deviation 1 over the real tokens of its row.

    Args:
        width: D, the number of channels.
        size: channels per group; a width that it does not divide is one group.

    See also:
        ``nn.LayerNorm`` where each token may lose its level; ``nn.GroupNorm``, which is faster, where nothing is
        padded, as in images of one size.
    """

    def __init__(self, width: int, *, size: int = 8):
        super().__init__()
        self.groups = width // size if width % size == 0 else 1
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Shapes: (B, T, D), (B, T) -> (B, T, D), exactly 0 at padding."""
        with torch.autocast(x_BTD.device.type, enabled=False):  # a variance needs full precision
            x_BTD, real_B1T = x_BTD.float(), mask_BT[:, None].float()
            share_BG = self._shares(real_B1T)
            mean_BG = self._sums(real_B1T @ x_BTD) * share_BG
            variance_BG = self._sums(real_B1T @ x_BTD.square()) * share_BG - mean_BG.square()
            scale_BD = self._spread((variance_BG.clamp_min(0) + 1e-5).rsqrt()) * self.weight
            shift_BD = self.bias - self._spread(mean_BG) * scale_BD
            return torch.addcmul(shift_BD[:, None], x_BTD, scale_BD[:, None]) * real_B1T.mT

    def _shares(self, real_B1T: Tensor) -> Tensor:
        """The share of one value in the mean of its group: (B, 1)."""
        return self.groups / (real_B1T.sum(-1).clamp_min(1) * self.weight.shape[0])

    def _sums(self, x_B1D: Tensor) -> Tensor:
        return x_B1D.unflatten(-1, (self.groups, -1)).sum((1, 3))

    def _spread(self, x_BG: Tensor) -> Tensor:
        return x_BG.repeat_interleave(self.weight.shape[0] // self.groups, 1)
