"""A small residual network for pictures of any size, quick on a processor and steady on little data.

He et al., Identity mappings in deep residual networks, ECCV 2016, with group normalisation (Wu and He, ECCV 2018)
in place of batch statistics.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers.masking import Patches
from polyfuse.layers.patches import tokens_of_map
from polyfuse.records import Spec, Tokens

LARGE = 64  # pixels, the shorter side above which ``stem="auto"`` begins with a stride of 4


class ResNet(nn.Module):
    """A small residual network over pixels; the small-data default for pictures.

    Args:
        image_size: (height, width) of what comes in; any size works.
        size: side of the pictures to ask for, in pixels; ``"auto"`` follows the training pictures.
        largest: the most pixels that ``"auto"`` asks for.
        width: channels of the first stage; each further one has twice as many.
        depth: stages; each but the first halves the picture: 64 x 64 pixels give 8 x 8 tokens at depth 3.
        blocks: residual blocks per stage.
        dropout: of tokens, in training.
        stem: stride of the first layer, 2 or 4; ``"auto"`` takes 4 above 64 pixels, as a picture four times as large
            would take four times as long.

    See also:
        ``vit`` for many pictures, ``pretrained`` where a checkpoint fits them: for photographs it nearly always does.
    """

    paper = "He et al., Identity mappings in deep residual networks, ECCV 2016"

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
        width: int = 32,
        depth: int = 3,
        blocks: int = 1,
        dropout: float = 0.1,
        stem: int | str = "auto",
    ):
        super().__init__()
        stride = (4 if min(image_size) > LARGE else 2) if stem == "auto" else stem
        if stride not in (2, 4):
            raise ValueError(f"stem: expected 2, 4 or auto, found {stem!r}")
        self.stem = Centred(3, width, 2 * int(stride) - 1, stride=int(stride), padding=int(stride) - 1, bias=False)
        self.side = int(stride) * 2 ** (depth - 1)  # pixels that a token stands for
        self.blocks, self.width = nn.Sequential(), width
        for place in range(depth * blocks):
            stage, first = place // blocks, place % blocks == 0
            self.blocks.append(Block(self.width, width * 2**stage, stride=2 if stage and first else 1))
            self.width = width * 2**stage
        self.norm, self.drop = group_norm(self.width), nn.Dropout(dropout)
        self.width *= 2  # of a token: what is at its place, and the most of it anywhere
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # up to a quarter faster

    def masking(self) -> Patches:
        """The squares that tokens stand for can be hidden."""
        return Patches(self.side)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``pixels`` (U, 3, H, W) uint8 -> tokens of the last feature map, row by row (U, H' * W', D)."""
        pixels = fields["pixels"].to(self.stem.weight.dtype, memory_format=torch.channels_last)
        x_UCHW = F.relu(self.norm(self.blocks(self.stem(pixels / 127.5 - 1))))
        top_UC11 = x_UCHW.amax((2, 3), keepdim=True)
        x_UTD, grid = tokens_of_map(torch.cat([x_UCHW, top_UC11.expand_as(x_UCHW)], 1))
        return Tokens(self.drop(x_UTD), present_B[:, None].expand(x_UTD.shape[:2]), grid=grid)


class Centred(nn.Conv2d):
    """A convolution whose filters sum to 0: an even background says nothing, and what stands out says all.

    Half of weight standardisation (Qiao et al., 2019), which does for group normalisation what batches do for batch
    normalisation.
    """

    @property
    def kernel(self) -> Tensor:
        """The filters as they act."""
        return self.weight - self.weight.mean((1, 2, 3), keepdim=True)

    def forward(self, x_UCHW: Tensor) -> Tensor:
        return F.conv2d(x_UCHW, self.kernel, None, self.stride, self.padding)


class Block(nn.Module):
    """Normalisation, ReLU, convolution, twice, added to the input or to a linear map of it."""

    def __init__(self, size: int, width: int, *, stride: int):
        super().__init__()
        self.norm_in, self.norm_mid = group_norm(size), group_norm(width)
        self.conv_in = Centred(size, width, 3, stride=stride, padding=1, bias=False)
        self.conv_out = Centred(width, width, 3, padding=1, bias=False)
        changes = size != width or stride > 1
        self.shortcut = nn.Conv2d(size, width, 1, stride=stride, bias=False) if changes else None

    def forward(self, x_UCHW: Tensor) -> Tensor:
        normed = F.relu(self.norm_in(x_UCHW))
        residual = self.conv_out(F.relu(self.norm_mid(self.conv_in(normed))))
        return residual + (x_UCHW if self.shortcut is None else self.shortcut(normed))


def group_norm(width: int) -> nn.GroupNorm:
    """Normalisation in groups of eight channels, or of all where eight do not divide them."""
    return nn.GroupNorm(width // 8 if width % 8 == 0 else 1, width)
