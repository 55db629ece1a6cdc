"""Padding masks from lengths, and sinusoidal position encodings (Vaswani et al., NeurIPS 2017).

The code is computed, not learned, so that any length works, in training and in exported files.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def length_mask(lengths_B: Tensor, length: int) -> Tensor:
    """True for each row's first tokens, as many as its length says: (B,) -> (B, length)."""
    return torch.arange(length, device=lengths_B.device) < lengths_B[:, None]


def sinusoidal(length: int, width: int, *, like: Tensor | None = None, start: int = 0) -> Tensor:
    """Sines, then cosines, of positions at wavelengths from 2 pi to 20,000 pi: (length, width).

    Args:
        length: T, the number of positions.
        width: D.
        like: a tensor whose device and type the result takes.
        start: the first position.

    See also:
        A learned ``nn.Parameter`` where the number of positions is fixed, as for the patches of images of one size.
    """
    device = None if like is None else like.device
    count = math.ceil(width / 2)
    rates_D = torch.exp(torch.arange(count, device=device) * (-math.log(10_000.0) / max(1, count - 1)))
    angles_TD = torch.arange(start, start + length, device=device)[:, None] * rates_D
    code_TD = torch.cat([angles_TD.sin(), angles_TD.cos()], -1)[:, :width]
    return code_TD if like is None else code_TD.to(like.dtype)
