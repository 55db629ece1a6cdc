"""A residual network whose coarse maps are added to its finer ones: a fine grid whose tokens see far around them.

Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017, of which the finest map alone is given.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.encoders.image.resnet import Block, Centred, group_norm
from polyfuse.layers.masking import Patches
from polyfuse.layers.patches import tokens_of_map
from polyfuse.records import Spec, Tokens


class Pyramid(nn.Module):
    """A fine grid of tokens that see far, for outputs that answer in pixels: boxes and masks.

    Args:
        image_size: (height, width) of what comes in; any size works.
        size: side of the pictures to ask for, in pixels; ``"auto"`` follows the training pictures.
        largest: the most pixels that ``"auto"`` asks for.
        width: channels of the first stage; each further one has twice as many, and a token twice as many.
        depth: stages; each but the first halves the map.
        blocks: residual blocks per stage.
        stride: pixels of a side that a token stands for, 2, 4 or 8: at 4, pictures of 96 pixels give 24 x 24 tokens.
        dropout: of tokens, in training.

    See also:
        ``resnet`` where a picture is to be understood as a whole: its coarse grid takes a fraction of the time.
    """

    paper = "Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017"

    @spec_of("image_size")
    @staticmethod
    def wants(size: int | str, largest: int) -> Spec:
        """Pixels of one size."""
        return Spec("image.pixels", {"size": size, "largest": largest})

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        size: int | str = "auto",
        largest: int = 96,
        width: int = 24,
        depth: int = 4,
        blocks: int = 1,
        stride: int = 4,
        dropout: float = 0.1,
    ):
        super().__init__()
        if stride not in (2, 4, 8) or 2**depth < stride:
            raise ValueError(f"stride={stride}, depth={depth}: expected 2, 4 or 8 pixels, and a depth that reaches it")
        self.stem = Centred(3, width, 3, stride=2, padding=1, bias=False)
        self.stages, self.skipped, channels = nn.ModuleList(), {2: 0, 4: 1, 8: 2}[stride], width
        widths = [width * 2**stage for stage in range(depth)]
        for stage, wide in enumerate(widths):
            own = [
                Block(channels if n == 0 else wide, wide, stride=2 if stage and n == 0 else 1) for n in range(blocks)
            ]
            self.stages.append(nn.Sequential(*own))
            channels = wide
        self.side, self.width = stride, 2 * width
        kept = widths[self.skipped :]
        self.norms = nn.ModuleList(group_norm(wide) for wide in kept)
        self.across = nn.ModuleList(nn.Conv2d(wide, self.width, 1) for wide in kept)
        self.smooth = nn.Conv2d(self.width, self.width, 3, padding=1)
        self.last, self.drop = group_norm(self.width), nn.Dropout(dropout)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def masking(self) -> Patches:
        """The squares that tokens stand for can be hidden."""
        return Patches(self.side)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``pixels`` (U, 3, H, W) uint8 -> tokens of the finest map, row by row (U, H' * W', D)."""
        pixels = fields["pixels"].to(self.stem.weight.dtype, memory_format=torch.channels_last)
        x_UCHW, maps = self.stem(pixels / 127.5 - 1), []
        for stage in self.stages:
            x_UCHW = stage(x_UCHW)
            maps.append(x_UCHW)
        sides = [
            across(F.relu(norm(x)))
            for across, norm, x in zip(self.across, self.norms, maps[self.skipped :], strict=True)
        ]
        for coarse, fine in pairwise(range(len(sides) - 1, -1, -1)):
            sides[fine] = sides[fine] + F.interpolate(sides[coarse], size=sides[fine].shape[2:], mode="nearest")
        x_UTD, grid = tokens_of_map(F.relu(self.last(self.smooth(sides[0]))))
        return Tokens(self.drop(x_UTD), present_B[:, None].expand(x_UTD.shape[:2]), grid=grid)
