"""Changes of videos on bytes as they are; what happens to one picture of a clip happens to all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from polyfuse.data.augment import image

Fields = dict[str, Tensor]


def _together(step: Callable[[Fields, torch.Generator], Fields], fields: Fields, generator: torch.Generator) -> Fields:
    """Change the pictures of a clip as one picture, in which they stand above each other as further channels.

    Flow is changed with its picture; where that is mirrored, what went to the right goes to the left.
    """
    frames = fields["frames"]
    if "motion" not in fields:
        changed = step({"pixels": frames.flatten(1, 2)}, generator)["pixels"]
        return {**fields, "frames": changed.view_as(frames)}
    motion, wide = fields["motion"], frames.shape[-1]
    ramp = torch.linspace(0, 255, wide, device=frames.device).to(frames.dtype)  # tells whether a clip was mirrored
    ramp = ramp.expand(len(frames), 1, frames.shape[-2], wide)
    parts = [frames.flatten(1, 2), motion.flatten(1, 2), ramp]
    changed = step({"pixels": torch.cat(parts, 1)}, generator)["pixels"]
    pictures, moved, ramp = changed.split([part.shape[1] for part in parts], 1)
    moved = moved.reshape(motion.shape).clone()
    mirrored_U = ramp[..., : wide // 2].float().mean((1, 2, 3)) > ramp[..., -(wide // 2) :].float().mean((1, 2, 3))
    away = (256 - moved[:, :, 0].int()).clamp_max(255).to(moved.dtype)
    moved[:, :, 0] = torch.where(mirrored_U[:, None, None, None], away, moved[:, :, 0])
    return {**fields, "frames": pictures.reshape(frames.shape), "motion": moved}


@dataclass(frozen=True)
class Moments:
    """Draw other moments of the same clips: of each stretch that a picture stands for, any that is kept.

    Args:
        spare: moments that are kept of each stretch.

    Shapes: ``frames`` (U, N * spare, 3, H, W) and ``times`` (U, N * spare) -> (U, N, ...); every clip is drawn from by
    itself.
    """

    spare: int = 1

    def __call__(self, fields: Fields, generator: torch.Generator) -> Fields:
        frames, times = fields["frames"], fields["times"]
        rows, count = len(frames), frames.shape[1] // self.spare
        drawn_UN = torch.randint(0, self.spare, (rows, count), generator=generator)
        at_UN = torch.arange(count) * self.spare + drawn_UN
        return {
            **fields,
            "frames": frames[torch.arange(rows)[:, None], at_UN],
            "times": times.gather(1, at_UN),
            "lengths": fields["lengths"] // self.spare,
        }


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
