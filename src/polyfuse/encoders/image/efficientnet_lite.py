"""EfficientNet-Lite0, a small convolutional network trained on ImageNet: photographs on a processor.

Tan and Le, EfficientNet, ICML 2019. Lite: ReLU6 in place of swish, no squeeze-and-excitation. Statistics of batch
normalisation stay those of the checkpoint, so that every normalisation is folded into the convolution before it.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.encoders.checkpoint import CheckpointEncoder
from polyfuse.encoders.hub import files_to_save, find
from polyfuse.layers.masking import Patches
from polyfuse.layers.patches import tokens_of_map
from polyfuse.records import Spec, Tokens

SMALLEST = 96  # pixels: below, a token sees more border than picture
WIDTH = 1280
# blocks in a row, side of the filter, stride of the first block, widening inside a block, channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
AT_ONCE = 16  # pictures that pass the frozen network together: more take memory and are no faster


class EfficientNetLite(CheckpointEncoder):
    """EfficientNet-Lite0 from ImageNet: for photographs of things, on a processor; a token per 32 x 32 pixels.

    Args:
        image_size: (height, width) of what comes in.
        path: ``starter:efficientnet-lite0``, or a folder that it was converted to.
        weights: ``"checkpoint"``, or ``"random"`` for its architecture alone.
        size: side of the pictures to ask for, in pixels, from 96; at 128 it takes a third of the time of 224.
        fit: ``"crop"`` resizes the shorter side and keeps the middle, as it was trained; ``"squash"`` keeps all of the
            picture and bends it, ``"pad"`` keeps all of it between black bars.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: its package is not installed or not the one that is known, the folder holds something else, or the
            size is too small.

    See also:
        ``resnet`` for drawings, scans and small pictures; ``pretrained`` for larger checkpoints.
    """

    paper = "Tan and Le, EfficientNet: rethinking model scaling for convolutional neural networks, ICML 2019"

    @spec_of("image_size")
    @staticmethod
    def wants(path: str, weights: str, size: int, fit: str) -> Spec:
        """Pixels of one size."""
        if not isinstance(size, int) or size < SMALLEST:
            raise ValueError(f"size={size!r}: efficientnet_lite sees pictures from {SMALLEST} pixels, 224 as trained")
        return Spec(
            "image.pixels",
            {"size": size, "fit": fit, "resample": "bicubic"},
            files_to_save(_find_weights(path, weights)),
        )

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        path: str = "starter:efficientnet-lite0",
        weights: str = "checkpoint",
        size: int = 224,
        fit: str = "crop",
    ):
        super().__init__()
        folder = _find_weights(path, weights)
        self.stem = Convolution(3, 32, 3, stride=2)
        self.blocks, channels = nn.ModuleList(), 32
        for count, side, stride, widening, out in STAGES:
            for at in range(count):
                self.blocks.append(Block(channels, out, side, stride=1 if at else stride, widening=widening))
                channels = out
        self.head = Convolution(channels, WIDTH, 1)
        if weights == "checkpoint":
            self._load(folder)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.image_size = tuple(image_size)
        self.settle({"pixels": torch.zeros(1, 3, *image_size, dtype=torch.uint8)}, [])

    def _load(self, folder: Path) -> None:
        from safetensors.torch import load_file

        self.load_state_dict(load_file(folder / "model.safetensors"))

    def masking(self) -> Patches:
        """The squares that tokens stand for can be hidden.

        Raises:
            ValueError: its tokens stand for no squares of whole pixels.
        """
        return Patches.of_grid(self.image_size, self.grid)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``pixels`` (U, 3, H, W) uint8 -> tokens row by row (U, H/32 * W/32, 1280)."""
        pixels = fields["pixels"]
        frozen = not torch.is_grad_enabled() and not torch.compiler.is_exporting()
        parts = pixels.split(AT_ONCE) if frozen else [pixels]
        x_UCHW = torch.cat([self._map(part) for part in parts])
        x_UTD, grid = tokens_of_map(x_UCHW)
        return Tokens(x_UTD, present_B[:, None].expand(x_UTD.shape[:2]), grid=grid)

    def _map(self, pixels: Tensor) -> Tensor:
        """Bytes -> the last feature map, (U, 1280, H/32, W/32)."""
        x_UCHW = pixels.to(self.stem.conv.weight.dtype, memory_format=torch.channels_last)
        x_UCHW = _relu6(self.stem((x_UCHW - 127) / 128))
        for block in self.blocks:
            x_UCHW = block(x_UCHW)
        return _relu6(self.head(x_UCHW))


class Convolution(nn.Module):
    """A convolution and the normalisation behind it, as one."""

    def __init__(self, channels: int, out: int, side: int, *, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(channels, out, side, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out, eps=1e-3)

    def forward(self, x_UCHW: Tensor) -> Tensor:
        """(U, C, H, W) -> (U, C', H / stride, W / stride), rounded up."""
        norm, conv = self.norm, self.conv
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale_C = norm.weight / (norm.running_var + norm.eps).sqrt()
        weight, bias_C = conv.weight * scale_C[:, None, None, None], norm.bias - norm.running_mean * scale_C
        top, bottom = _same_padding(x_UCHW.shape[2], conv.kernel_size[0], conv.stride[0])
        left, right = _same_padding(x_UCHW.shape[3], conv.kernel_size[1], conv.stride[1])
        if (top, left) != (bottom, right):
            x_UCHW, top, left = F.pad(x_UCHW, (left, right, top, bottom)), 0, 0
        return F.conv2d(x_UCHW, weight, bias_C, conv.stride, (top, left), groups=conv.groups)


def _same_padding(length: int, side: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind, with which a filter stands on every ``stride``-th place; the odd one goes behind."""
    lacking = max((-(-length // stride) - 1) * stride + side - length, 0)
    return lacking // 2, lacking - lacking // 2


class Block(nn.Module):
    """Widen, filter every channel alone, narrow; added to the input where their shapes agree."""

    def __init__(self, channels: int, out: int, side: int, *, stride: int, widening: int):
        super().__init__()
        inner = channels * widening
        self.expand = Convolution(channels, inner, 1) if widening > 1 else None
        self.filter = Convolution(inner, inner, side, stride=stride, groups=inner)
        self.project = Convolution(inner, out, 1)
        self.adds = stride == 1 and channels == out

    def forward(self, x_UCHW: Tensor) -> Tensor:
        wide = x_UCHW if self.expand is None else _relu6(self.expand(x_UCHW))
        narrow = self.project(_relu6(self.filter(wide)))
        return x_UCHW + narrow if self.adds else narrow


def _relu6(x: Tensor) -> Tensor:
    return F.relu6(x, inplace=not torch.compiler.is_exporting())


def _find_weights(path: str, weights: str) -> Path:
    """The converted folder.

    Raises:
        ValueError: it holds another checkpoint.
    """
    folder = find(path, weights=weights, modality="image")
    kind = json.loads((folder / "config.json").read_text(encoding="utf8")).get("model_type")
    if kind != "efficientnet-lite0":
        raise ValueError(f"{path} holds a {kind} model; the encoder efficientnet_lite reads starter:efficientnet-lite0")
    return folder
