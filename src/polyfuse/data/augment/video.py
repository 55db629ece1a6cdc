"""Changes of videos on bytes as they are; what happens to one picture of a clip happens to all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from polyfuse.data.augment import image

Fields = dict[str, Tensor]


def _together(step: Callable[[Fields, torch.Generator], Fields], fields: Fields, generator: torch.Generator) -> Fields:
    """Change the pictures of a clip as one picture, in which they stand above each other as further channels."""
    frames = fields["frames"]
    changed = step({"pixels": frames.flatten(1, 2)}, generator)["pixels"]
    return {**fields, "frames": changed.view_as(frames)}


@dataclass(frozen=True)
class Shift(image.Shift):
    """Move all pictures of a clip alike, up, down and sideways; their own mirror image fills the gap.

    Shapes: ``frames`` (U, N, 3, H, W), any type.
    """

    def __call__(self, fields: Fields, generator: torch.Generator) -> Fields:
        return _together(super().__call__, fields, generator)


@dataclass(frozen=True)
class Flip(image.Flip):
    """Mirror clips left to right, all of their pictures. Not where left and right differ.

    Shapes: ``frames`` (U, N, 3, H, W), any type.
    """

    def __call__(self, fields: Fields, generator: torch.Generator) -> Fields:
        return _together(super().__call__, fields, generator)


@dataclass(frozen=True)
class Crop(image.Crop):
    """Cut the same part out of all pictures of a clip and stretch it to their size.

    Shapes: ``frames`` (U, N, 3, H, W), any type.
    """

    def __call__(self, fields: Fields, generator: torch.Generator) -> Fields:
        return _together(super().__call__, fields, generator)
