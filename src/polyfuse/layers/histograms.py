"""Histograms of pictures that nothing was learnt for: colours, directions of edges, patterns of neighbouring pixels.

Colour histograms: Swain and Ballard, Color indexing, IJCV 1991. Histograms of oriented gradients: Dalal and Triggs,
CVPR 2005. Local binary patterns: Ojala, Pietikainen and Maenpaa, TPAMI 2002. Bins are soft where a value is
continuous, so that a small change of a pixel moves no bin by a step.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HUES, GREYS, SATURATIONS, LEVELS = 12, 6, 4, 4
AROUND = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))  # the neighbours of a pixel, in turn
PATTERNS = 59  # 58 patterns with at most two changes around the pixel, and one for all others
TURNED = 10  # the same whichever way they are turned: 0 to 8 neighbours brighter, and others


def soft_bins(x_UHW: Tensor, bins: int) -> Tensor:
    """Shares of the two nearest of evenly spaced bins: (U, H, W) from 0 to 1 -> (U, bins, H, W)."""
    centres = torch.arange(bins, device=x_UHW.device).view(-1, 1, 1)
    return (1 - (x_UHW[:, None] * (bins - 1) - centres).abs()).clamp_min(0)


def round_bins(x_UHW: Tensor, bins: int) -> Tensor:
    """Shares of the two nearest bins around a circle: (U, H, W), a turn is 1 -> (U, bins, H, W)."""
    centres = torch.arange(bins, device=x_UHW.device).view(-1, 1, 1)
    apart = x_UHW[:, None] - centres / bins
    return (1 - (apart - apart.round()).abs() * bins).clamp_min(0)


def grid_means(x_UCHW: Tensor, side: int) -> Tensor:
    """Means over the cells of a grid, ``side`` by ``side``: (U, C, H, W) -> (U, C, side, side)."""
    return F.adaptive_avg_pool2d(x_UCHW, side)


def joint_colours(rgb_U3HW: Tensor) -> Tensor:
    """How often each of 4 x 4 x 4 colours occurs: (U, 3, H, W) from 0 to 1 -> (U, 64)."""
    red, green, blue = (soft_bins(rgb_U3HW[:, channel], LEVELS).flatten(2) for channel in range(3))
    pairs_UAP = (red[:, :, None] * green[:, None]).flatten(1, 2)
    return (pairs_UAP @ blue.transpose(1, 2)).flatten(1) / blue.shape[2]


def hues(rgb_U3HW: Tensor) -> Tensor:
    """Each pixel's hue as far as it has one, its brightness as far as it is grey, its saturation: (U, 22, H, W)."""
    most, least = rgb_U3HW.amax(1), rgb_U3HW.amin(1)
    chroma = most - least
    red, green, blue = rgb_U3HW.unbind(1)
    step = chroma.clamp_min(1e-6)
    sixth = torch.where(most == green, (blue - red) / step + 2, (red - green) / step + 4)
    sixth = torch.where(most == red, (green - blue) / step, sixth)
    coloured = round_bins(sixth / 6, HUES) * chroma[:, None]
    grey = soft_bins(most, GREYS) * (1 - chroma)[:, None]
    return torch.cat([coloured, grey, soft_bins(chroma / most.clamp_min(1e-6), SATURATIONS)], 1)


def gradients(rgb_U3HW: Tensor) -> tuple[Tensor, Tensor]:
    """Strength and direction (a turn is 1) of the channel that changes most at each pixel: (U, H, W) each."""
    padded = F.pad(rgb_U3HW, (1, 1, 1, 1), mode="replicate")
    across, down = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2], padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    power, channel = (across.square() + down.square()).max(1, keepdim=True)
    across, down = across.gather(1, channel)[:, 0], down.gather(1, channel)[:, 0]
    return (power[:, 0] + 1e-12).sqrt(), torch.atan2(down, across) / (2 * math.pi)


def normalize_locally(cells_UOGG: Tensor) -> Tensor:
    """Cells of oriented gradients, each over the strength of the 3 x 3 cells around it, at most 1: same shape."""
    power_U1GG = cells_UOGG.square().sum(1, keepdim=True)
    around = F.avg_pool2d(power_U1GG, 3, 1, 1, count_include_pad=False)
    return (cells_UOGG / (around + 1e-5).sqrt()).clamp_max(1)


def normalize_globally(cells_UOGG: Tensor) -> Tensor:
    """Cells of oriented gradients over the strength of all cells of the picture: same shape."""
    power = cells_UOGG.square().sum(1, keepdim=True).mean((2, 3), keepdim=True)
    return cells_UOGG / (power + 1e-5).sqrt()


class Patterns(nn.Module):
    """Which of its eight neighbours are brighter than a pixel, as the number of a pattern.

    Args:
        contrast: by how much a neighbour must be brighter, of 1; noise on even ground is no texture.
    """

    run: Tensor
    turned: Tensor

    def __init__(self, *, contrast: float = 0.01):
        super().__init__()
        self.contrast = contrast
        codes = [_pattern([bool(code >> place & 1) for place in range(8)]) for code in range(256)]
        self.register_buffer("run", torch.tensor([code[0] for code in codes]), persistent=False)
        self.register_buffer("turned", torch.tensor([code[1] for code in codes]), persistent=False)

    def forward(self, grey_UHW: Tensor, radius: int) -> tuple[Tensor, Tensor]:
        """Neighbours lie ``radius`` pixels away.

        Shapes:
            (U, H, W) -> pattern (U, H, W) from 0 to 58, and the same whichever way it is turned (U, H, W), 0 to 9.
        """
        height, width = grey_UHW.shape[1:]
        padded = F.pad(grey_UHW[:, None], [radius] * 4, mode="replicate")[:, 0]
        least_UHW, code_UHW = grey_UHW + self.contrast, torch.zeros_like(grey_UHW, dtype=torch.int32)
        for place, (down, across) in enumerate(AROUND):
            top, left = radius * (1 + down), radius * (1 + across)
            near_UHW = padded[:, top : top + height, left : left + width]
            code_UHW = code_UHW + (near_UHW > least_UHW).int() * (1 << place)
        code_UHW = code_UHW.long()  # what exported graphs index by
        return self.run[code_UHW], self.turned[code_UHW]


def _pattern(brighter: list[bool]) -> tuple[int, int]:
    """Of the neighbours in turn: where a run of brighter ones begins and how long it is, as a number; its length."""
    begins = [place for place in range(8) if brighter[place] and not brighter[place - 1]]
    count = sum(brighter)
    if len(begins) > 1:
        return PATTERNS - 1, TURNED - 1
    return (2 + (count - 1) * 8 + begins[0] if begins else int(count > 0)), count


def count_codes(code_UHW: Tensor, bins: int, side: int = 1) -> Tensor:
    """How often each code occurs in each cell of a grid: (U, H, W) whole numbers -> shares (U, side * side * bins)."""
    height, width = code_UHW.shape[1:]
    rows, columns = (torch.arange(n, device=code_UHW.device) * side // n for n in (height, width))
    place_UP = (code_UHW + bins * (rows[:, None] * side + columns)).flatten(1)
    ones = torch.ones(1, device=code_UHW.device).expand(place_UP.shape)
    counts_UK = ones.new_zeros(place_UP.shape[0], side * side * bins).scatter_add(1, place_UP, ones)
    return counts_UK * (side * side / (height * width))
