"""Clips as pictures and, beside each, what moves in it: two networks that meet at every moment.

Simonyan and Zisserman, Two-stream convolutional networks for action recognition in videos, NIPS 2014.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.encoders.video.pictures import SMALL, kept_files, picture_encoder, picture_spec
from polyfuse.layers.clips import Factorized, over_clip, spans_of_times
from polyfuse.layers.histograms import grid_means
from polyfuse.layers.norm import MaskedGroupNorm
from polyfuse.layers.pooling import masked_mean
from polyfuse.layers.positions import length_mask
from polyfuse.records import Spec, Tokens

MOTIONS = {"difference": ("video.pairs", 3), "flow": ("video.flow", 2)}  # transform, and channels of what moves
COARSE = 4  # cells per side in which the strength of motion is told


class TwoStream(nn.Module):
    """Pictures of a clip, and beside each of them what moves: differences to the next picture, or optical flow.

    Args:
        image_size: (height, width) of the pictures that come in.
        image: encoder of the pictures: a name, or ``{"name": ..., keywords}``; any that asks for pixels.
        motion: ``"difference"`` to a picture soon after, or ``"flow"``, the pixels that each place moves by, which
            OpenCV finds once per clip (``pip install 'polyfuse[flow]'``).
        frames: moments of each clip, evenly spaced.
        gap: seconds between the two pictures of a moment.
        seconds: of the middle part that the moments are spread over; ``"auto"`` for all of a clip.
        width: channels of the first stage of the network that reads motion.
        dropout: of both, in training.
        files: folder of a saved model, from which a checkpoint is built again.

    Raises:
        ValueError: no such image encoder or motion.

    See also:
        ``statistics``, which measures motion and learns nothing, for some hundreds of clips.
    """

    paper = "Simonyan and Zisserman, Two-stream convolutional networks for action recognition in videos, NIPS 2014"

    @spec_of("image_size", "files")
    @staticmethod
    def wants(image: str | Mapping[str, Any], motion: str, frames: int, gap: float, seconds: float | str) -> Spec:
        """Two pictures at each moment, or one and its flow, sized as the image encoder asks for."""
        if motion not in MOTIONS:
            raise ValueError(f"motion: expected {' or '.join(MOTIONS)}, found {motion!r}")
        spec = picture_spec(image)
        keywords = {"frames": frames, "gap": gap, "seconds": seconds, "picture": spec.keywords}
        return Spec(MOTIONS[motion][0], keywords, spec.files)

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        image: str | Mapping[str, Any] = SMALL,
        motion: str = "difference",
        frames: int = 8,
        gap: float = 0.07,
        seconds: float | str = "auto",
        width: int = 16,
        dropout: float = 0.1,
        files: Path | None = None,
    ):
        super().__init__()
        self.image = picture_encoder(image, image_size, files)
        self.motion = _Motion(MOTIONS[motion][1], width)
        self.width = int(self.image.width) + self.motion.width  # type: ignore[arg-type]
        self.drop = nn.Dropout(dropout)

    @staticmethod
    def restored(folder: Path) -> dict[str, Any]:
        """The keywords that build it again from the files of its ``Spec``, where it has a checkpoint."""
        return kept_files(folder)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """A picture and the next one or its flow at each moment -> a token per moment (U, N, D).

        ``frames`` (U, N, 6, H, W) uint8; or ``frames`` (U, N, 3, H, W) and ``motion`` (U, N, 2, H, W), eighths of
        a pixel around 128.
        """
        frames = fields["frames"]
        pictures, count = frames[:, :, :3], frames.shape[1]
        real_UN = length_mask(fields["lengths"], count) & present_B[:, None]
        if "motion" in fields:
            moving = (fields["motion"].float() - 128) / 8
        else:
            moving = (frames[:, :, 3:].float() - pictures.float()) / 16
        seen = self.image({"pixels": pictures.flatten(0, 1)}, real_UN.flatten())
        seen_UND = masked_mean(seen.x_BTD, seen.mask_BT).unflatten(0, (-1, count))
        x_UND = torch.cat([seen_UND, self.motion(moving, real_UN).to(seen_UND.dtype)], -1)
        return Tokens(self.drop(x_UND), real_UN, grid=(count,), span_BT2=spans_of_times(fields["times"]))


class _Motion(nn.Module):
    """Reads what moves: residual blocks over the clip, and beside them how strong motion is where.

    Args:
        channels: 3 of differences, 2 of flow.
        width: of the first stage.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 5, stride=2, padding=2, bias=False)
        self.blocks = nn.ModuleList([Factorized(width, width, stride=2), Factorized(width, 2 * width, stride=2)])
        self.norm = MaskedGroupNorm(2 * width)
        self.strength = nn.Linear(COARSE**2, width)  # which normalisation takes away
        self.width = 5 * width

    def forward(self, moving: Tensor, real_UN: Tensor) -> Tensor:
        """(U, N, C, H, W) -> (U, N, D)."""
        count = moving.shape[1]
        x_UNCHW = self.stem(moving.flatten(0, 1)).unflatten(0, (-1, count))
        for block in self.blocks:
            x_UNCHW = block(x_UNCHW, real_UN)
        x_UNCHW = F.relu(over_clip(self.norm, x_UNCHW, real_UN))
        speed_UNHW = moving.abs().mean(2)
        strength_UNE = (grid_means(speed_UNHW, COARSE).flatten(2) + 1e-3).log()
        return torch.cat([x_UNCHW.mean((3, 4)), x_UNCHW.amax((3, 4)), self.strength(strength_UNE)], -1)
