"""Group normalisation that padding cannot reach (Wu and He, Group normalization, ECCV 2018)."""

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
        padded, as in pictures of one size.
    """

    def __init__(self, width: int, *, size: int = 8):
        super().__init__()
        self.groups = 1 if width % size else width // size
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x_BTFD: Tensor, mask_BT: Tensor) -> Tensor:
        """Shapes: (B, T, F, D), (B, T) -> (B, T, F, D), exactly 0 at padding; all F are real where T is."""
        with torch.autocast(x_BTFD.device.type, enabled=False):  # a variance needs full precision
            x_BTFD = x_BTFD.to(torch.promote_types(x_BTFD.dtype, torch.float32))
            real_BT = mask_BT.to(x_BTFD.dtype)
            count_B1 = real_BT.sum(1, keepdim=True).clamp_min(1) * (x_BTFD[0, 0].numel() // self.groups)
            mean_BG = self._sums(x_BTFD, real_BT) / count_B1
            variance_BG = self._sums(x_BTFD.square(), real_BT) / count_B1 - mean_BG.square()
            scale_BD = self._spread((variance_BG.clamp_min(0) + 1e-5).rsqrt()) * self.weight
            shift_BD = self.bias - self._spread(mean_BG) * scale_BD
            normed_BTFD = torch.addcmul(shift_BD[:, None, None], x_BTFD, scale_BD[:, None, None])
            return normed_BTFD * real_BT[..., None, None]

    def _sums(self, x_BTFD: Tensor, real_BT: Tensor) -> Tensor:
        """Sums over each group's real values: (B, G); a product of matrices beats a masked sum by far."""
        sums_BE = (real_BT[:, None] @ x_BTFD.flatten(2)).squeeze(1)
        return sums_BE.unflatten(-1, (-1, self.groups, len(self.weight) // self.groups)).sum((1, 3))

    def _spread(self, x_BG: Tensor) -> Tensor:
        return x_BG.repeat_interleave(len(self.weight) // self.groups, 1)
