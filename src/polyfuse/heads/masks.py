"""A class per pixel of a picture: each token of its grid paints its square."""

# ruff: noqa: ARG002, ARG004 - some keywords are for wants() alone

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.data.cells.frame import PictureSize
from polyfuse.data.cells.target_masks import IGNORED
from polyfuse.layers.places import PlaceReader, Tower, movement, picture_matrices, read_frame
from polyfuse.records import Batch, Fused, Prediction, Spec

FAR = 1e-6


class Masks(nn.Module):
    """A class per pixel: each token of the picture's grid paints its square, by cross-entropy and Dice.

    Args:
        name: the output's.
        width: D.
        classes: of pixels, 0 to 254.
        frame: how the input sees its pictures; ``reader``, who reads them.
        picture: the column of the pictures.
        input: name of the input that reads them.
        pixels: masks are those of the file as it is ``stored``, or of the picture as it is seen, ``upright``.
        channels: of the convolutions over the grid; a multiple of 8.
        depth: convolutions before the last one.
        square: points of a side that a token paints, as pixels where the grid is that much coarser than the picture,
            which is so by default, and stretched or shrunk to pixels elsewhere.
        dropout: before each layer, in training.

    See also: ``boxes`` where things are to be counted; what touches is one in a mask.
    """

    paper = "Shi et al., Real-time single image super-resolution (pixel shuffle), CVPR 2016"
    task = "masks"

    @spec_of("name", "width", "classes", "frame", "reader")
    @staticmethod
    def wants(pixels: str, channels: int, square: int) -> Spec:
        """Masks, with the size of the picture beside them.

        Raises:
            ValueError: channels that are no multiple of 8, or no square.
        """
        if channels < 8 or channels % 8 or square < 1:
            raise ValueError(f"channels={channels}, square={square}: expected a multiple of 8, and 1 or more")
        return Spec("target.masks", {"pixels": pixels})

    def __init__(
        self,
        *,
        name: str,
        width: int,
        classes: list,
        frame: Mapping[str, Any] | None,
        reader: str = "",
        picture: str | None = None,
        input: str | None = None,
        pixels: str = "stored",
        channels: int = 64,
        depth: int = 2,
        square: int = 4,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.name, self.input = name, input or reader
        self.frame, self.reader, self.pixels = read_frame(frame, name), reader, pixels
        self.values_C: Tensor
        self.register_buffer("values_C", torch.tensor(classes, dtype=torch.uint8), persistent=False)
        self.read, self.tower = PlaceReader(width, channels, dropout=dropout), Tower(channels, depth)
        self.paint = nn.Conv2d(channels, len(classes) * square**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(square)

    @staticmethod
    def picture(*, picture: str | None = None, **others: Any) -> str | None:
        """The column of the pictures."""
        return picture

    @staticmethod
    def columns(*, picture: str | None = None, **others: Any) -> list[str]:
        """The column of the pictures, of which the size is read."""
        return [] if picture is None else [picture]

    def logits(self, fused: Fused) -> tuple[Tensor, Tensor]:
        """Scores of the classes of the frame's pixels (B, C, H, W) float32, and rows that have the picture (B,)."""
        map_BCHW, seen_B = self.read(fused, self.input)
        drawn_BCHW = self.shuffle(self.paint(self.tower(map_BCHW))).float()
        size = (self.frame.height, self.frame.width)
        if drawn_BCHW.shape[2:] != size:
            drawn_BCHW = F.interpolate(drawn_BCHW, size=size, mode="bilinear", align_corners=False)
        return drawn_BCHW, seen_B

    def loss(self, fused: Fused, batch: Batch) -> Tensor:
        """Mean cross-entropy of the pixels of a row that count, and the soft Dice loss of its classes (B,)."""
        logit_BCHW, seen_B = self.logits(fused)
        target_BHW = self._target(batch)
        counts_BHW = target_BHW < len(self.values_C)
        with torch.autocast(logit_BCHW.device.type, enabled=False):
            is_BCHW = F.one_hot(target_BHW * counts_BHW, len(self.values_C)).movedim(-1, 1).to(logit_BCHW.dtype)
            is_BCHW = is_BCHW * counts_BHW[:, None]
            cross_BHW = -(logit_BCHW.log_softmax(1) * is_BCHW).sum(1)
            cross_B = cross_BHW.sum((1, 2)) / counts_BHW.sum((1, 2)).clamp_min(1)
            share_BCHW = logit_BCHW.softmax(1) * counts_BHW[:, None]
            both_BC, all_BC = (share_BCHW * is_BCHW).sum((2, 3)), (share_BCHW + is_BCHW).sum((2, 3))
            there_BC = (is_BCHW.sum((2, 3)) > 0).to(both_BC.dtype)
            dice_BC = 1 - 2 * both_BC / all_BC.clamp_min(FAR)
            loss_B = cross_B + (dice_BC * there_BC).sum(1) / there_BC.sum(1).clamp_min(1)
        return loss_B * batch.outputs[self.name].present_B * seen_B

    def _target(self, batch: Batch) -> Tensor:
        """Class of every pixel of the frame, as augmentation moved it (B, H, W); 255 where none is known."""
        cells = batch.outputs[self.name]
        target_BHW = cells.rows(cells.fields["target"]).long()  # type: ignore[index]
        moved_B4 = movement(batch, self.reader)
        if moved_B4 is None:
            return target_BHW
        x_BW, known_BW = _sources(moved_B4[:, :2], target_BHW.shape[2])
        y_BH, known_BH = _sources(moved_B4[:, 2:], target_BHW.shape[1])
        rows_BHW = target_BHW.gather(1, y_BH[:, :, None].expand_as(target_BHW))
        found_BHW = rows_BHW.gather(2, x_BW[:, None].expand_as(target_BHW))
        return found_BHW.masked_fill(~(known_BH[:, :, None] & known_BW[:, None]), IGNORED)

    def quality(self, said: Any, batch: Batch) -> Tensor:
        """Mean intersection over union of the classes of each row (B,)."""
        logit_BCHW, _ = self.logits(said)
        target_BHW = self._target(batch)
        counts_BHW = target_BHW < len(self.values_C)
        best_BHW = logit_BCHW.argmax(1)
        found_B = logit_BCHW.new_zeros(len(best_BHW))
        classes_B = logit_BCHW.new_zeros(len(best_BHW))
        for kind in range(len(self.values_C)):
            said_BHW, true_BHW = (best_BHW == kind) & counts_BHW, target_BHW == kind
            either_B = (said_BHW | true_BHW).sum((1, 2))
            found_B += (said_BHW & true_BHW).sum((1, 2)) / either_B.clamp_min(1)
            classes_B += either_B > 0
        return found_B / classes_B.clamp_min(1)

    @torch.no_grad()
    def predict(self, fused: Fused, batch: Batch) -> Prediction:
        """The class of every pixel of each row's picture, uint8 (height, width); None where there is no picture.

        What a crop does not show is what lies next to it.
        """
        logit_BCHW, seen_B = self.logits(fused)
        matrix_B23, sizes_B3 = picture_matrices(batch, self.name, self.frame, self.pixels)
        there_B = seen_B.cpu().numpy() & (sizes_B3[:, 0] > 0)
        value = [
            self._painted(logit_CHW, matrix_23, PictureSize(*map(int, size_3))) if there else None
            for logit_CHW, matrix_23, size_3, there in zip(logit_BCHW, matrix_B23, sizes_B3, there_B, strict=True)
        ]
        return Prediction(value, None, {})

    def _painted(self, logit_CHW: Tensor, matrix_23: np.ndarray, size: PictureSize) -> np.ndarray:
        """The classes of the pixels of one picture."""
        height, width = size.seen(self.pixels)
        y_H = torch.arange(height, device=logit_CHW.device) + 0.5
        x_W = torch.arange(width, device=logit_CHW.device) + 0.5
        turn = torch.from_numpy(matrix_23).to(logit_CHW)
        column_HW = turn[0, 0] * x_W + turn[0, 1] * y_H[:, None] + turn[0, 2]
        row_HW = turn[1, 0] * x_W + turn[1, 1] * y_H[:, None] + turn[1, 2]
        at_HW2 = torch.stack([2 * column_HW / self.frame.width - 1, 2 * row_HW / self.frame.height - 1], -1)
        drawn_CHW = F.grid_sample(
            logit_CHW[None], at_HW2[None], mode="bilinear", padding_mode="border", align_corners=False
        )[0]
        return self.values_C[drawn_CHW.argmax(0)].cpu().numpy()


def _sources(moved_B2: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Along an axis the pixel that each pixel shows (B, side), and whether it lies in the picture."""
    place_S = torch.arange(side, device=moved_B2.device) + 0.5
    before_BS = torch.floor((place_S - moved_B2[:, 1:]) / moved_B2[:, :1] + 1e-4).long()
    return before_BS.clamp(0, side - 1), (before_BS >= 0) & (before_BS < side)
