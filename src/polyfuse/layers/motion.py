"""Motion between two pictures by least squares over small windows. Lucas and Kanade, IJCAI 1981; nothing is learnt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CALM = 1e-3  # of squared gradients, which an even window has none of: it counts as still


def flow(before_UHW: Tensor, after_UHW: Tensor, window: int = 5) -> Tensor:
    """Pixels that each place moves from one grey picture to the next: (U, 2, H, W), x to the right and y down.

    Right for motions of a pixel or two, after smoothing; an even area has none.

    Args:
        before_UHW, after_UHW: grey, 0 to 1.
        window: side of the squares within which motion is taken as one, an odd number.
    """
    first, second = _smooth(before_UHW), _smooth(after_UHW)
    mean = (first + second) / 2
    right, down = _slopes(mean)
    change = second - first
    products = torch.stack([right * right, right * down, down * down, right * change, down * change], 1)
    xx, xy, yy, xt, yt = F.avg_pool2d(products, window, 1, window // 2, count_include_pad=False).unbind(1)
    xx, yy = xx + CALM, yy + CALM
    determinant = xx * yy - xy * xy
    return torch.stack([(xy * yt - yy * xt) / determinant, (xy * xt - xx * yt) / determinant], 1)


def _smooth(grey_UHW: Tensor) -> Tensor:
    padded = F.pad(grey_UHW[:, None], (1, 1, 1, 1), mode="replicate")
    return F.avg_pool2d(padded, 3, 1)[:, 0]


def _slopes(grey_UHW: Tensor) -> tuple[Tensor, Tensor]:
    padded = F.pad(grey_UHW[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    return (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2, (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
