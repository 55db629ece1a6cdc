"""Augmentations of pictures, on uint8: shift, flip, crop and brightness. Each takes some milliseconds per 64 pictures.

Crops of random size: Szegedy et al., Going deeper with convolutions, CVPR 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polyfuse.data.augment.values import check_share


@dataclass(frozen=True)
class Shift:
    """Move each picture up, down and sideways; its own mirror image fills the gap. Same as pad and random crop.

    Args:
        share: the largest move, as a share of the side.

    Shapes: ``pixels`` (U, 3, H, W), any type.
    """

    share: float = 0.125

    def __post_init__(self) -> None:
        check_share("share", self.share)

    def __call__(self, fields: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        pixels = fields["pixels"]
        for axis in (2, 3):
            side = pixels.shape[axis]
            most = min(int(side * self.share), side - 1)
            moves_U1 = torch.randint(-most, most + 1, (len(pixels), 1), generator=generator)
            source_US = _reflect_index(torch.arange(side) + moves_U1, side)
            shape = (len(pixels), 1, side, 1) if axis == 2 else (len(pixels), 1, 1, side)
            pixels = pixels.gather(axis, source_US.view(shape).expand_as(pixels))
            fields = _follow(fields, axis, 1.0, -moves_U1[:, 0].float())
        return {**fields, "pixels": pixels}


def _follow(fields: dict[str, Tensor], axis: int, scale_U: Tensor | float, offset_U: Tensor) -> dict[str, Tensor]:
    """Note in ``moved`` (U, 4), where it is asked for, that places along an axis are scaled, then moved."""
    if "moved" not in fields:
        return fields
    moved_U4, at = fields["moved"].clone(), 0 if axis == 3 else 2
    moved_U4[:, at] *= scale_U
    moved_U4[:, at + 1] = moved_U4[:, at + 1] * scale_U + offset_U
    return {**fields, "moved": moved_U4}


def _reflect_index(index: Tensor, side: int) -> Tensor:
    """Positions beyond 0 to side - 1 -> their reflections, the edge itself not repeated."""
    return (side - 1) - ((side - 1) - index.abs()).abs()


@dataclass(frozen=True)
class Flip:
    """Mirror pictures left to right. Not for digits, letters, maps, or anything where left and right differ.

    Args:
        p: probability for each picture.

    Shapes: ``pixels`` (U, 3, H, W), any type.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        check_share("p", self.p)

    def __call__(self, fields: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        pixels = fields["pixels"]
        chosen = torch.rand(len(pixels), 1, 1, 1, generator=generator) < self.p
        mirrored_U = chosen[:, 0, 0, 0].float()
        fields = _follow(fields, 3, 1 - 2 * mirrored_U, mirrored_U * pixels.shape[3])
        return {**fields, "pixels": torch.where(chosen, pixels.flip(-1), pixels)}


@dataclass(frozen=True)
class Crop:
    """Cut a part out of each picture and stretch it to the picture's size, by the nearest pixel. For photographs.

    Args:
        least: the smallest side that is kept, as a share of the picture's side. Both sides are drawn about alike, so
            that the aspect ratio changes by a tenth at most.

    Shapes: ``pixels`` (U, 3, H, W), any type.
    """

    least: float = 0.75

    def __post_init__(self) -> None:
        check_share("least", self.least)

    def __call__(self, fields: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        pixels = fields["pixels"]
        kept_U1 = _uniform_between(len(pixels), self.least, 1.0, generator)
        for axis in (2, 3):
            side = pixels.shape[axis]
            share_U1 = (kept_U1 * _uniform_between(len(pixels), 0.95, 1.05, generator)).clamp(self.least, 1)
            start_U1 = torch.rand(len(pixels), 1, generator=generator) * (1 - share_U1)
            place_S = (torch.arange(side) + 0.5) / side
            source_US = ((start_U1 + place_S * share_U1) * side).long().clamp_(0, side - 1)
            shape = (len(pixels), 1, side, 1) if axis == 2 else (len(pixels), 1, 1, side)
            pixels = pixels.gather(axis, source_US.view(shape).expand_as(pixels))
            fields = _follow(fields, axis, 1 / share_U1[:, 0], -(start_U1 * side / share_U1)[:, 0])
        return {**fields, "pixels": pixels}


@dataclass(frozen=True)
class Light:
    """Make each picture lighter or darker, and each of its channels a little by itself, as another lamp would.

    Args:
        brightness: the largest change of all channels, as a share.
        tint: the largest further change of one channel, as a share.

    Shapes: ``pixels`` (U, 3, H, W) uint8.
    """

    brightness: float = 0.25
    tint: float = 0.05

    def __post_init__(self) -> None:
        check_share("brightness", self.brightness)
        check_share("tint", self.tint)

    def __call__(self, fields: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        pixels = fields["pixels"]
        gain_U1 = _uniform_between(len(pixels), 1 - self.brightness, 1 + self.brightness, generator)
        tint_U3 = 1 + self.tint * (2 * torch.rand(len(pixels), 3, generator=generator) - 1)
        factor_U311 = (256 * gain_U1 * tint_U3).round().to(torch.int32)[..., None, None]
        return {**fields, "pixels": ((pixels.int() * factor_U311) >> 8).clamp_(0, 255).to(pixels.dtype)}


def _uniform_between(rows: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """(rows, 1) evenly spread from low to high."""
    return low + (high - low) * torch.rand(rows, 1, generator=generator)
