"""Where a place of a picture lies among the pixels that an encoder reads, and back: orientation, resize, crop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

FITS = ("squash", "crop", "pad")
PIXELS = ("stored", "upright")


class PictureSize(NamedTuple):
    """Pixels of a picture as it is stored, and the camera's orientation, 1 (upright) to 8 as EXIF numbers them."""

    height: int
    width: int
    orientation: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """(height, width) once the orientation is applied."""
        return (self.width, self.height) if self.orientation > 4 else (self.height, self.width)

    def seen(self, pixels: str) -> tuple[int, int]:
        """(height, width) in which places are given: ``stored`` or ``upright``."""
        return self.upright if pixels == "upright" else (self.height, self.width)


@dataclass(frozen=True)
class Frame:
    """How a picture becomes pixels of one size.

    Args:
        height, width: of these pixels.
        fit: ``squash``, ``crop`` or ``pad``; see ``data.cells.image``.
        resize: before a crop: length of the shorter side, or (height, width); None just covers the size.
    """

    height: int
    width: int
    fit: str = "squash"
    resize: int | tuple[int, int] | None = None

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Frame:
        """Read what ``to_json`` gave."""
        resize = said.get("resize")
        return cls(said["height"], said["width"], said["fit"], tuple(resize) if isinstance(resize, list) else resize)

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {**asdict(self), "resize": list(self.resize) if isinstance(self.resize, tuple) else self.resize}

    def resized(self, native: tuple[int, int]) -> tuple[int, int]:
        """(height, width) to which an upright picture of (width, height) is resized before its middle is taken."""
        if self.fit == "pad":
            return _size_to_fit(native, (self.height, self.width))
        if self.fit == "squash":
            return self.height, self.width
        if isinstance(self.resize, tuple):
            return self.resize
        side = self.resize
        return _size_to_cover(native, (self.height, self.width) if side is None else (side, side))

    def matrix(self, size: PictureSize, pixels: str = "stored") -> np.ndarray:
        """(2, 3) float64: a place (x, y, 1) in pixels of the picture -> its place (x, y) in those of the frame.

        Args:
            pixels: places are in pixels of the file as it is ``stored``, or of the picture as it is seen, ``upright``.
        """
        turn = np.eye(3) if pixels == "upright" else _to_upright(size)
        height, width = size.upright
        tall, wide = self.resized((width, height))
        left, top = (wide - self.width) // 2, (tall - self.height) // 2
        scale = np.array([[wide / width, 0.0, -left], [0.0, tall / height, -top], [0.0, 0.0, 1.0]])
        return (scale @ turn)[:2]


def inverse(matrix_23: np.ndarray) -> np.ndarray:
    """The way back of a matrix (..., 2, 3) whose axes may be swapped, mirrored, stretched and moved."""
    turn = np.linalg.inv(matrix_23[..., :2])
    return np.concatenate([turn, -(turn @ matrix_23[..., 2:])], -1)


def move_boxes(boxes_N4: np.ndarray, matrix_23: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) as x, y, width, height -> the same seen through a matrix."""
    corners_N22 = np.stack([boxes_N4[:, :2], boxes_N4[:, :2] + boxes_N4[:, 2:4]], 1) @ matrix_23[:, :2].T
    corners_N22 = corners_N22 + matrix_23[:, 2]
    low, high = corners_N22.min(1), corners_N22.max(1)
    return np.concatenate([low, high - low], 1)


def _to_upright(size: PictureSize) -> np.ndarray:
    """(3, 3): a place in the stored picture -> its place once the orientation is applied."""
    height, width, _ = size
    x = {1: (1, 0, 0), 2: (-1, 0, width), 3: (-1, 0, width), 4: (1, 0, 0)}
    x |= {5: (0, 1, 0), 6: (0, -1, height), 7: (0, -1, height), 8: (0, 1, 0)}
    y = {1: (0, 1, 0), 2: (0, 1, 0), 3: (0, -1, height), 4: (0, -1, height)}
    y |= {5: (1, 0, 0), 6: (1, 0, 0), 7: (-1, 0, width), 8: (-1, 0, width)}
    return np.array([x[size.orientation], y[size.orientation], (0, 0, 1)], np.float64)


def _size_to_cover(native: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The smallest (height, width) of a picture's (width, height) that covers a box; rounds as Hugging Face does."""
    (width, height), (box_height, box_width) = native, box
    if box_width * height >= box_height * width:  # the width decides
        return box_width * height // width, box_width
    return box_height, box_height * width // height


def _size_to_fit(native: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest (height, width) of a picture's (width, height) that lies in a box."""
    (width, height), (box_height, box_width) = native, box
    if box_width * height >= box_height * width:  # the height decides
        return box_height, max(1, round(box_height * width / height))
    return max(1, round(box_width * height / width)), box_width


def sample(values_HW: np.ndarray, matrix_23: np.ndarray, size: tuple[int, int], fill: int) -> np.ndarray:
    """Values per pixel seen through a matrix, by the nearest pixel: (height, width) = ``size``.

    Args:
        matrix_23: a place among the values -> its place in the result.
        fill: where nothing lies.
    """
    back_23 = inverse(matrix_23)
    y_H, x_W = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    column_HW = back_23[0, 0] * x_W + back_23[0, 1] * y_H[:, None] + back_23[0, 2]
    row_HW = back_23[1, 0] * x_W + back_23[1, 1] * y_H[:, None] + back_23[1, 2]
    at_row, at_column = np.floor(row_HW + 1e-9).astype(np.int64), np.floor(column_HW + 1e-9).astype(np.int64)
    height, width = values_HW.shape
    inside = (at_row >= 0) & (at_row < height) & (at_column >= 0) & (at_column < width)
    found = values_HW[at_row.clip(0, height - 1), at_column.clip(0, width - 1)]
    return np.where(inside, found, np.array(fill, values_HW.dtype))
