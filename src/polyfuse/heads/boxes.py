"""What is where in a picture: a dense head without anchors over the tokens of a picture, one scale."""

# ruff: noqa: ARG002, ARG004 - some keywords are for wants() alone

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.data.cells.frame import inverse, move_boxes
from polyfuse.layers.boxes import keep_best, overlap
from polyfuse.layers.places import PlaceReader, Tower, centres, movement, picture_matrices, read_frame
from polyfuse.records import Batch, Fused, Prediction, Spec

RADIUS = 1.5  # squares of the grid around the middle of a box whose tokens learn it
PER_BOX = 9.0  # tokens that learn a box, about
RARE = 0.01  # probability of a class at a place before anything is learnt
ALPHA, GAMMA = 0.25, 2.0  # of the focal loss
SEEN = 300  # places of a picture that are looked at, the likeliest
NEVER = 1e8


@dataclass(frozen=True)
class Finding:
    """Which boxes are given.

    Args:
        threshold: score from which a box is given.
        most: boxes of a picture, the best.
        overlap: intersection over union above which the better one of two boxes of a label stays.
    """

    threshold: float = 0.05
    most: int = 100
    overlap: float = 0.6

    def changed(self, options: Mapping[str, Any]) -> Finding:
        """The same with some options changed.

        Raises:
            ValueError: no such option, or one out of bounds.
        """
        if unknown := [name for name in options if name not in asdict(self)]:
            raise ValueError(f"no option {unknown[0]!r}; known: {', '.join(asdict(self))}")
        found = replace(self, **options)
        if not (0 <= found.threshold <= 1 and 0 < found.overlap <= 1 and found.most >= 1):
            raise ValueError(f"{found}: expected threshold and overlap from 0 to 1, and most of 1 or more")
        return found


class Boxes(nn.Module):
    """Boxes with labels in a picture: of every token of its grid the class, four distances and how well they fit.

    Tokens near the middle of a box learn it (centre sampling), by focal loss and generalised intersection over union;
    the score of a box is the geometric mean of its class's probability and its expected overlap with what is there.

    Args:
        name: the output's.
        width: D.
        classes: the labels.
        typical: boxes of a training row, by which losses are divided.
        frame: how the input sees its pictures; ``reader``, who reads them.
        picture: the column of the pictures.
        input: name of the input that reads them.
        pixels: boxes are in pixels of the file as it is ``stored``, or of the picture as it is seen, ``upright``: they
            differ where a camera turned the picture.
        channels: of the convolutions over the grid; a multiple of 8.
        depth: convolutions before the last ones.
        find: which boxes are given: ``threshold``, ``most`` and ``overlap``.
        dropout: before each layer, in training.

    See also: ``masks`` for a class per pixel.
    """

    paper = "Tian et al., FCOS: Fully convolutional one-stage object detection, ICCV 2019"
    task = "boxes"

    @spec_of("name", "width", "classes", "typical", "frame", "reader")
    @staticmethod
    def wants(pixels: str, channels: int, find: Mapping[str, Any] | None) -> Spec:
        """Boxes, with the size of the picture beside them.

        Raises:
            ValueError: channels that are no multiple of 8, or no such option of find.
        """
        if channels < 8 or channels % 8:
            raise ValueError(f"channels={channels}: expected a multiple of 8")
        Finding().changed(find or {})
        return Spec("target.boxes", {"pixels": pixels})

    def __init__(
        self,
        *,
        name: str,
        width: int,
        classes: list,
        typical: float,
        frame: Mapping[str, Any] | None,
        reader: str = "",
        picture: str | None = None,
        input: str | None = None,
        pixels: str = "stored",
        channels: int = 64,
        depth: int = 2,
        find: Mapping[str, Any] | None = None,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.name, self.classes, self.input = name, classes, input or reader
        self.frame, self.reader, self.pixels = read_frame(frame, name), reader, pixels
        self.learners = PER_BOX * max(1.0, typical)
        self.how = Finding().changed(find or {})
        self.read = PlaceReader(width, channels, dropout=dropout)
        self.tower = Tower(channels, depth)
        self.kind = nn.Conv2d(channels, len(classes), 3, padding=1)
        self.side = nn.Conv2d(
            channels, 5, 3, padding=1
        )  # distances to the left, top, right and bottom; how well they fit
        nn.init.constant_(self.kind.bias, float(np.log(RARE / (1 - RARE))))  # type: ignore[arg-type]
        for last in (self.kind, self.side):
            nn.init.normal_(last.weight, std=0.01)
        nn.init.constant_(self.side.bias[:4], 2.0)  # type: ignore[index]

    @staticmethod
    def picture(*, picture: str | None = None, **others: Any) -> str | None:
        """The column of the pictures."""
        return picture

    @staticmethod
    def columns(*, picture: str | None = None, **others: Any) -> list[str]:
        """The column of the pictures, of which the size is read."""
        return [] if picture is None else [picture]

    @property
    def decoding(self) -> dict[str, Any]:
        """Which boxes are given, by name, for a report."""
        return asdict(self.how)

    def writing(self, **options: Any) -> Finding:
        """Which boxes are given, the head's own way changed by some options.

        Raises:
            ValueError: no such option, or one out of bounds.
        """
        return self.how.changed(options)

    def look(self, fused: Fused) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of every place: logits of classes (B, P, C), its box as corners in the frame (B, P, 4), how well that fits
        (B, P) as a logit, and the rows that have the picture (B,).
        """
        map_BCHW, seen_B = self.read(fused, self.input)
        near_BCHW = self.tower(map_BCHW)
        kind_BPC = self.kind(near_BCHW).flatten(2).transpose(1, 2).float()
        side_BP5 = self.side(near_BCHW).flatten(2).transpose(1, 2).float()
        at_P2, square_2 = centres(map_BCHW.shape[2:], self.frame, like=side_BP5)
        far_BP4 = F.softplus(side_BP5[..., :4]) * square_2.repeat(2)
        corners_BP4 = torch.cat([at_P2 - far_BP4[..., :2], at_P2 + far_BP4[..., 2:]], -1)
        return kind_BPC, corners_BP4, side_BP5[..., 4], seen_B

    def loss(self, fused: Fused, batch: Batch) -> Tensor:
        """Focal loss of classes, generalised IoU loss of boxes and divergence of how well they fit (B,)."""
        kind_BPC, corners_BP4, fit_BP, seen_B = self.look(fused)
        truth = self._assign(fused, batch, like=corners_BP4)
        with torch.autocast(kind_BPC.device.type, enabled=False):
            kinds_BP = _focal(kind_BPC, truth.kind_BP) * truth.counts_BP
            iou_BP, general_BP = overlap(corners_BP4, truth.corners_BP4)
            fits_BP = _surprise(fit_BP, iou_BP.detach().clamp(0, 1))
            here_BP = (truth.kind_BP >= 0).to(fit_BP.dtype)
            loss_B = (kinds_BP + (1 - general_BP + fits_BP) * here_BP).sum(1) / self.learners
        return loss_B * batch.outputs[self.name].present_B * seen_B

    def _assign(self, fused: Fused, batch: Batch, like: Tensor) -> _Truth:
        """What every place is to say."""
        grid = fused.by_input[self.input].grid
        at_P2, square_2 = centres(grid, self.frame, like=like)
        corners_BN4, kind_BN, crowd_BN, real_BN = self._targets(batch, like)
        moved_B4 = movement(batch, self.reader)
        if moved_B4 is not None:
            scale_B12, offset_B12 = moved_B4[:, None, 0::2].to(like), moved_B4[:, None, 1::2].to(like)
            one, other = (corners_BN4[..., s] * scale_B12 + offset_B12 for s in (slice(0, 2), slice(2, 4)))
            corners_BN4 = torch.cat([torch.minimum(one, other), torch.maximum(one, other)], -1)
            before_BP2 = (at_P2 - offset_B12) / scale_B12
        else:
            before_BP2 = at_P2.expand(len(corners_BN4), -1, -1)
        end_2 = like.new_tensor([self.frame.width, self.frame.height])
        shown_BP = ((before_BP2 >= 0) & (before_BP2 <= end_2)).all(-1)  # a shift fills the rest with a mirror image
        corners_BN4 = torch.minimum(corners_BN4.clamp_min(0), end_2.repeat(2))  # what was cropped or moved away is gone
        middle_BN2 = (corners_BN4[..., :2] + corners_BN4[..., 2:]) / 2
        size_BN = (corners_BN4[..., 2:] - corners_BN4[..., :2]).prod(-1)
        real_BN = real_BN & (size_BN > 0)
        at_P12, corners_B1N4 = at_P2[:, None], corners_BN4[:, None]
        inside_BPN = ((at_P12 > corners_B1N4[..., :2]) & (at_P12 < corners_B1N4[..., 2:])).all(-1) & real_BN[:, None]
        apart_BPN2 = (at_P12 - middle_BN2[:, None]).abs() / square_2
        near_BPN = (apart_BPN2 <= RADIUS).all(-1) & inside_BPN
        # the square that holds the middle of a box learns it, however small the box
        near_BPN = (near_BPN | ((apart_BPN2 <= 0.5).all(-1) & real_BN[:, None])) & ~crowd_BN[:, None]
        cost_BPN = torch.where(near_BPN, size_BN[:, None], NEVER)
        least_BP, which_BP = cost_BPN.min(-1)  # of several boxes the smallest
        found_BP = least_BP < NEVER
        kind_BP = torch.where(found_BP, kind_BN.gather(1, which_BP), -1)
        corners_BP4 = corners_BN4.gather(1, which_BP[..., None].expand(-1, -1, 4))
        # a box reaches around the middle of the square that learns it
        corners_BP4 = torch.cat(
            [torch.minimum(corners_BP4[..., :2], at_P2), torch.maximum(corners_BP4[..., 2:], at_P2)], -1
        )
        crowd_BP = (inside_BPN & crowd_BN[:, None]).any(-1)
        return _Truth(kind_BP, corners_BP4, (shown_BP & (found_BP | ~crowd_BP)).to(like.dtype))

    def _targets(self, batch: Batch, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of every box of a row: corners in the frame, class, whether it is a crowd, and whether it is there."""
        cells = batch.outputs[self.name]
        target_BN7 = cells.rows(cells.fields["target"]).to(like.dtype)  # type: ignore[index]
        lengths_B = cells.rows(cells.fields["lengths"]) * cells.present_B  # type: ignore[index]
        real_BN = torch.arange(target_BN7.shape[1], device=like.device) < lengths_B[:, None]
        ways, _ = picture_matrices(batch, self.name, self.frame, self.pixels)
        matrix_B23 = torch.from_numpy(ways).to(like)
        low_BN2, side_BN2 = target_BN7[..., :2], target_BN7[..., 2:4]
        turn_B22, move_B12 = matrix_B23[:, :, :2].transpose(1, 2), matrix_B23[:, None, :, 2]
        one_BN2, other_BN2 = low_BN2 @ turn_B22 + move_B12, (low_BN2 + side_BN2) @ turn_B22 + move_B12
        corners_BN4 = torch.cat([torch.minimum(one_BN2, other_BN2), torch.maximum(one_BN2, other_BN2)], -1)
        return corners_BN4, target_BN7[..., 4].long(), target_BN7[..., 5] > 0, real_BN

    def quality(self, said: Any, batch: Batch) -> Tensor:
        """Minus the loss (B,)."""
        return -self.loss(said, batch)

    @torch.no_grad()
    def predict(self, fused: Fused, batch: Batch, **options: Any) -> Prediction:
        """Boxes of every row, the best first, in pixels of its picture: ``[{bbox, label, score}]``.

        A row without a picture has none.

        Args:
            options: ``threshold``, ``most`` and ``overlap``, over the head's own.
        """
        how = self.writing(**options)
        kind_BPC, corners_BP4, fit_BP, seen_B = self.look(fused)
        score_BPC = (kind_BPC.sigmoid() * fit_BP.sigmoid()[..., None]).sqrt().cpu().numpy()
        matrix_B23, sizes_B3 = picture_matrices(batch, self.name, self.frame, self.pixels)
        there_B = seen_B.cpu().numpy() & (sizes_B3[:, 0] > 0)
        rows = zip(score_BPC, corners_BP4.cpu().double().numpy(), inverse(matrix_B23), sizes_B3, there_B, strict=True)
        return Prediction([self._found(*row, how) for row in rows], None, {})

    def _found(
        self,
        score_PC: np.ndarray,
        corners_P4: np.ndarray,
        back_23: np.ndarray,
        size_3: np.ndarray,
        there: bool,
        how: Finding,
    ) -> list[dict[str, Any]]:
        """The boxes of one row."""
        if not there:
            return []
        place, kind = np.nonzero(score_PC >= how.threshold)
        score = score_PC[place, kind]
        best = np.argsort(-score, kind="stable")[: max(SEEN, how.most)]
        place, kind, score = place[best], kind[best], score[best]
        corners = corners_P4[place].clip(0, [self.frame.width, self.frame.height] * 2)
        stays = keep_best(corners, score, kind, how.overlap)[: how.most]
        boxes_N4 = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)[stays]
        boxes_N4 = _within(move_boxes(boxes_N4, back_23), self._seen_size(size_3)).round(2)
        return [
            {"bbox": box, "label": self.classes[k], "score": round(float(s), 6)}
            for box, k, s in zip(boxes_N4.tolist(), kind[stays], score[stays], strict=True)
            if box[2] > 0 and box[3] > 0
        ]

    def _seen_size(self, size_3: np.ndarray) -> tuple[int, int]:
        height, width, orientation = map(int, size_3)
        return (width, height) if self.pixels == "upright" and orientation > 4 else (height, width)


@dataclass(frozen=True)
class _Truth:
    """What every place is to say: class, -1 for none; corners of its box; 1 where that counts."""

    kind_BP: Tensor
    corners_BP4: Tensor
    counts_BP: Tensor


def _surprise(logit_BP: Tensor, share_BP: Tensor) -> Tensor:
    """Cross-entropy with shares from 0 to 1, less what remains of it where they are met: 0 at best."""
    least_BP = F.binary_cross_entropy(share_BP, share_BP, reduction="none")
    return F.binary_cross_entropy_with_logits(logit_BP, share_BP, reduction="none") - least_BP


def _focal(logit_BPC: Tensor, kind_BP: Tensor) -> Tensor:
    """Focal loss of every place (B, P), summed over classes (Lin et al., ICCV 2017)."""
    is_BPC = F.one_hot(kind_BP.clamp_min(0), logit_BPC.shape[-1]).to(logit_BPC.dtype) * (kind_BP >= 0)[..., None]
    cross_BPC = F.binary_cross_entropy_with_logits(logit_BPC, is_BPC, reduction="none")
    share_BPC = logit_BPC.sigmoid()
    wrong_BPC = share_BPC + is_BPC - 2 * share_BPC * is_BPC
    weight_BPC = ALPHA * is_BPC + (1 - ALPHA) * (1 - is_BPC)
    return (weight_BPC * wrong_BPC**GAMMA * cross_BPC).sum(-1)


def _within(boxes_N4: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes cut at the edges of a picture of (height, width)."""
    end = np.array([size[1], size[0]], np.float64)
    low = boxes_N4[:, :2].clip(0, end)
    return np.concatenate([low, (boxes_N4[:, :2] + boxes_N4[:, 2:]).clip(0, end) - low], 1)
