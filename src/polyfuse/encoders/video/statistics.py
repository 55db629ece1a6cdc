"""A video as one vector of fixed statistics of its motion, nothing learnt; the strong start for few videos.

Histograms of optical flow: Laptev et al., Learning realistic human actions from movies, CVPR 2008.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers import histograms
from polyfuse.layers.motion import flow
from polyfuse.layers.pooling import masked_mean
from polyfuse.layers.positions import length_mask
from polyfuse.records import Spec, Tokens

GREY = (0.299, 0.587, 0.114)
DIRECTIONS = 8
FINE, COARSE = 4, 2  # cells per side for strength of motion, and for its directions
SHARES = (0.5, 0.9, 0.99)  # quantiles of the change of pixels


class Statistics(nn.Module):
    """Fixed statistics of motion as one token: how strong it is where, which way it goes, how it changes.

    At evenly spaced moments two pictures are compared that follow each other closely. Nothing is learnt and nothing
    standardised: whoever reads the token standardises it on training rows.

    Args:
        image_size: (height, width) of the pictures that come in.
        moments: at which motion is measured.
        gap: seconds between the two pictures of a moment.
        size: side of the pictures to ask for, in pixels.
        seconds: of the middle part that the moments are spread over; ``"auto"`` for all of a video.

    See also:
        ``frames`` for what is to be seen in the pictures themselves; both fit side by side.
    """

    paper = "Laptev et al., Learning realistic human actions from movies, CVPR 2008"
    fixed = True

    @spec_of("image_size")
    @staticmethod
    def wants(moments: int, gap: float, size: int, seconds: float | str) -> Spec:
        """Two pictures at each moment."""
        return Spec("video.pairs", {"frames": moments, "gap": gap, "seconds": seconds, "picture": {"size": size}})

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        moments: int = 32,
        gap: float = 0.07,
        size: int = 64,
        seconds: float | str = "auto",
    ):
        super().__init__()
        self.register_buffer("grey", torch.tensor(GREY).view(3, 1, 1), persistent=False)
        self.width = self._features(torch.zeros(1, 1, 2, 16, 16), torch.ones(1)).shape[1]

    grey: Tensor

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``frames`` (U, M, 6, H, W) uint8, a picture and one soon after, ``lengths`` (U,) -> one token (U, 1, D)."""
        with torch.autocast(fields["frames"].device.type, enabled=False):
            grey_UM2HW = (fields["frames"].unflatten(2, (2, 3)).float() / 255 * self.grey).sum(3)
            x_UD = self._features(grey_UM2HW, fields["lengths"])
        return Tokens(x_UD[:, None], present_B[:, None])

    def _features(self, pairs_UM2HW: Tensor, lengths_U: Tensor) -> Tensor:
        """Mean, deviation and most over the real pairs; zeros where there is none."""
        count = pairs_UM2HW.shape[1]
        each_UMF = self._of_pairs(*pairs_UM2HW.flatten(0, 1).unbind(1)).unflatten(0, (-1, count))
        real_UM = length_mask(lengths_U, count)
        mean_UF = masked_mean(each_UMF, real_UM)
        spread_UF = (masked_mean((each_UMF - mean_UF[:, None]).square(), real_UM) + 1e-12).sqrt()
        most_UF = each_UMF.masked_fill(~real_UM[..., None], -torch.inf).amax(1)
        return torch.cat([mean_UF, spread_UF, torch.where(real_UM.any(1, keepdim=True), most_UF, 0.0)], 1)

    def _of_pairs(self, first_PHW: Tensor, second_PHW: Tensor) -> Tensor:
        """What is measured between two pictures (P, F)."""
        moved_P2HW = flow(first_PHW, second_PHW)
        speed_PHW = (moved_P2HW.square().sum(1) + 1e-12).sqrt()
        turn_PHW = torch.atan2(moved_P2HW[:, 1], moved_P2HW[:, 0])
        ways = histograms.round_bins(turn_PHW, DIRECTIONS) * speed_PHW[:, None]
        change_PHW = (second_PHW - first_PHW).abs()
        quantiles = torch.quantile(change_PHW.flatten(1), change_PHW.new_tensor(SHARES), dim=1).T
        strength = histograms.grid_means(torch.stack([speed_PHW, change_PHW], 1), FINE).flatten(1)
        directions = histograms.grid_means(ways, COARSE).flatten(1)
        return torch.cat([(strength + 1e-6).log(), (directions + 1e-6).log(), (quantiles + 1e-3).log()], 1)
