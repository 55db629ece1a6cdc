"""Pictures through a Hugging Face checkpoint, seen exactly as it was trained to see them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyfuse.contracts import spec_of
from polyfuse.data.cells.image import from_processor
from polyfuse.encoders.checkpoint import CheckpointEncoder, keep_layers, load_model, silence_transformers, tower
from polyfuse.encoders.hub import files_to_save, find
from polyfuse.layers.masking import Patches
from polyfuse.layers.patches import tokens_of_map
from polyfuse.records import Spec, Tokens


class Pretrained(CheckpointEncoder):
    """Any Hugging Face image checkpoint: ViT, DINOv2, the image side of CLIP and SigLIP, ResNet, ConvNeXt, Swin.

    Args:
        image_size: (height, width) of what comes in.
        path: a local folder, a name on the Hugging Face Hub, or ``starter:NAME``.
        weights: ``"checkpoint"``, or ``"random"`` for its architecture alone.
        layers: how many of its first blocks to keep; all where None.

    Raises:
        FileNotFoundError: no such checkpoint, here or within reach.
        ValueError: its image processor has steps that cannot be reproduced, or it has fewer layers.

    See also:
        ``resnet`` for drawings, scans and small pictures, which few checkpoints were trained on.
    """

    scale_311: Tensor
    shift_311: Tensor
    paper = "Wolf et al., Transformers: state-of-the-art natural language processing, EMNLP 2020"

    @spec_of("image_size")
    @staticmethod
    def wants(path: str, weights: str) -> Spec:
        """Pixels resized and cropped as the checkpoint's own image processor does."""
        folder = find(path, weights=weights, modality="image")
        files = files_to_save(folder, "preprocessor_config.json", "processor_config.json")
        return Spec("image.pixels", from_processor(_load_processor(folder)), files)

    def __init__(
        self, *, image_size: tuple[int, int], path: str, weights: str = "checkpoint", layers: int | None = None
    ):
        super().__init__()
        folder = find(path, weights=weights, modality="image")
        model, missing = load_model(folder, weights)
        self.model = keep_layers(tower(model, "vision_model", "image_model", "image_encoder"), layers)
        scale, shift = _scale_and_shift(_load_processor(folder))
        self.register_buffer("scale_311", scale, persistent=False)
        self.register_buffer("shift_311", shift, persistent=False)
        self.image_size = tuple(image_size)
        self.settle({"pixels": torch.zeros(1, 3, *image_size, dtype=torch.uint8)}, missing)

    def masking(self) -> Patches:
        """The squares that tokens stand for can be hidden.

        Raises:
            ValueError: its tokens stand for no squares of whole pixels.
        """
        return Patches.of_grid(self.image_size, self.grid)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``pixels`` (U, 3, H, W) uint8 -> class and register tokens, then patches row by row (U, T, D)."""
        pixels_U3HW = fields["pixels"].to(self.scale_311.dtype) * self.scale_311 - self.shift_311
        x = self.model(pixel_values=pixels_U3HW).last_hidden_state
        if x.ndim == 4:
            x_UTD, grid = tokens_of_map(x)
        else:
            x_UTD, grid = x, self._grid(x.shape[1], pixels_U3HW.shape[2], pixels_U3HW.shape[3])
        mask_UT = present_B[:, None].expand(x_UTD.shape[:2])
        return Tokens(x_UTD, mask_UT, grid=grid, prefix=x_UTD.shape[1] - math.prod(grid))

    def _grid(self, count: int, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the patches among ``count`` tokens; later stages of some models merge patches."""
        side = getattr(self.model.config, "patch_size", 1)
        high, wide = side if isinstance(side, (list, tuple)) else (side, side)
        if (height // high) * (width // wide) <= count:
            return height // high, width // wide
        merged = math.sqrt(height * width / count)
        return round(height / merged), round(width / merged)


def _load_processor(folder: Path) -> dict[str, Any]:
    """What the checkpoint does to a picture, defaults filled in."""
    from transformers import AutoImageProcessor

    try:
        with silence_transformers():
            return AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True).to_dict()
    except OSError:
        raise FileNotFoundError(f"{folder}: no preprocessor_config.json, so its pixels cannot be prepared") from None


def _scale_and_shift(processor: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Scale and shift, (3, 1, 1) each, that turn bytes into what the checkpoint saw."""
    rescale = processor["rescale_factor"] if processor.get("do_rescale", True) else 1.0
    normal = processor.get("do_normalize", True)
    mean, deviation = (
        torch.tensor(processor[k] if normal else d) for k, d in (("image_mean", [0.0]), ("image_std", [1.0]))
    )
    return (rescale / deviation)[:, None, None], (mean / deviation)[:, None, None]
