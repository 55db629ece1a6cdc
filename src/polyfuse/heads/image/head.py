"""Fused tokens -> a picture: a small conditional generator, from words, a category, a sound or another picture."""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.heads.flow import FORGOTTEN, ConditionReader, Sampling, draw_noise, flow_loss, sample
from polyfuse.heads.image.unet import UNet
from polyfuse.records import Batch, Fused, Prediction, Spec

HALF = 127.5  # a byte is -1 to 1 times this, and this


class Image(nn.Module):
    """A picture per row, made of noise by a U-Net that reads the fused tokens and those of every input.

    Args:
        name: the output's.
        width: D.
        image_size: (height, width); a fact of ``target.image``.
        channels: 1 for grey pictures, 3 for colour; a fact as well.
        size, mode, fit: see ``data.cells.target_image``.
        base: channels of the largest map, a multiple of 8; the time of a step grows with its square.
        depth: residual blocks per size of the map.
        decode: how pictures are made: ``steps``, ``guidance``, ``seed``, ``temperature`` (see ``heads.flow``).
        dropout: of the U-Net, in training.

    See also: ``text`` for words, ``speech`` for sounds.
    """

    paper = "Lipman et al., Flow Matching for Generative Modeling, ICLR 2023"
    task = "image"

    @spec_of("name", "width", "image_size", "channels")
    @staticmethod
    def wants(
        size: int | tuple[int, int] | str, mode: str, fit: str, base: int, depth: int, decode: Mapping[str, Any] | None
    ) -> Spec:
        """Pictures of one size.

        Raises:
            ValueError: no such option of decode, or out of bounds.
        """
        if base < 8 or base % 8 or depth < 1:
            raise ValueError(f"base={base}, depth={depth}: expected a multiple of 8, and 1 or more")
        Sampling().changed(decode or {})
        return Spec("target.image", {"size": size, "mode": mode, "fit": fit})

    def __init__(
        self,
        *,
        name: str,
        width: int,
        image_size: tuple[int, int],
        channels: int,
        size: int | tuple[int, int] | str = "auto",
        mode: str = "auto",
        fit: str = "squash",
        base: int = 32,
        depth: int = 1,
        decode: Mapping[str, Any] | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.name, self.shape = name, (channels, *image_size)
        self.reading = ConditionReader(width)
        self.net = UNet(channels, (image_size[0], image_size[1]), width, base=base, depth=depth, dropout=dropout)
        self.how = Sampling().changed(decode or {})

    @property
    def decoding(self) -> dict[str, Any]:
        """How pictures are made, by name, for a report."""
        return self.how.said()

    def writing(self, **options: Any) -> Sampling:
        """How pictures are made, the head's own way changed by some options.

        Raises:
            ValueError: no such option, or one out of bounds.
        """
        return self.how.changed(options)

    def loss(self, fused: Fused, batch: Batch) -> Tensor:
        """Mean squared error of the velocity per row (B,), at one time of each; 0 where the target is missing."""
        cells = batch.outputs[self.name]
        data_BCHW = cells.rows(cells.fields["pixels"]).float() / HALF - 1  # type: ignore[index]
        given = self.reading(fused)
        off_BCHW = flow_loss(self.net, data_BCHW, given, batch.rows_B, training=self.training, forget=FORGOTTEN)
        return off_BCHW.mean((1, 2, 3)) * cells.present_B

    def quality(self, said: Any, batch: Batch) -> Tensor:
        """Minus the loss at a time and noise that are always the same for a row (B,)."""
        return -self.loss(said, batch)

    @torch.no_grad()
    def predict(self, fused: Fused, batch: Batch, **options: Any) -> Prediction:
        """A picture per row, uint8 (H, W) where grey and (H, W, 3) where colour.

        Args:
            options: of ``decode``, over the head's own.
        """
        how = self.writing(**options)
        given = self.reading(fused)
        noise = draw_noise(batch.rows_B.tolist(), how.seed, self.shape, given.mean_BD)
        pixels = (sample(self.net, noise, given, how) * HALF + HALF).round().clamp(0, 255).to(torch.uint8)
        return Prediction([_to_image(one) for one in pixels.permute(0, 2, 3, 1).cpu().numpy()], None, {})


def _to_image(pixels_HWC: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels_HWC[..., 0] if pixels_HWC.shape[-1] == 1 else pixels_HWC)
