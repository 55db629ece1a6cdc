"""Target transform of masks: a class per pixel of a picture, of palette or grey PNG files or of arrays."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from polyfuse.data.cells.frame import PIXELS, Frame, PictureSize, inverse, sample
from polyfuse.data.cells.picture import open_image
from polyfuse.data.cells.source import BadCell, Limits, Media, UnseenLabel
from polyfuse.data.cells.target_boxes import check_pixels

IGNORED = 255  # the value of pixels that count nowhere
INDEXED = ("P", "L", "1", "I", "I;16", "I;16B", "LA", "PA")


def read_mask(content: Media, limits: Limits = Limits()) -> np.ndarray:
    """Classes of a mask, uint8 (H, W): the numbers of a palette, or levels of grey; 255 for pixels that do not count.

    Raises:
        BadCell: no such picture or array, colours without a palette, or numbers beyond 255.
    """
    if isinstance(content, np.ndarray):
        values = content[..., 0] if content.ndim == 3 and content.shape[-1] == 1 else content
        if values.ndim != 2 or not values.size or values.dtype.kind not in "buif":
            raise BadCell(f"an array of {values.dtype} {values.shape} is no mask; expected a whole number per pixel")
    else:
        values = _decode(content, limits)
    whole = values.astype(np.int64) if np.isfinite(values).all() else np.array(-1)
    if not np.array_equal(whole, values) or whole.min() < 0 or whole.max() > IGNORED:
        raise BadCell(
            f"values from {values.min():g} to {values.max():g}: expected classes as whole numbers from 0 to "
            f"{IGNORED - 1}, and {IGNORED} for pixels that do not count"
        )
    return whole.astype(np.uint8)


def _decode(content: Media, limits: Limits) -> np.ndarray:
    with open_image(content, limits) as image:
        if image.format == "JPEG":
            raise BadCell("a JPEG changes the values of pixels, which are classes; expected a PNG file")
        try:
            values = np.asarray(image.getchannel(0) if image.mode in ("LA", "PA") else image)
        except Exception as error:  # plugins raise whatever they like on damaged files
            raise BadCell(f"damaged {image.format} picture: {str(error) or type(error).__name__}") from None
        if image.mode in INDEXED:
            return values
        if values.ndim == 3 and (values[..., :1] == values[..., :3]).all():  # grey, written as colours
            return values[..., 0]
        raise BadCell(
            f"a picture of mode {image.mode} has colours where a class is meant; expected a PNG file with a palette, "
            "or in grey, whose numbers are the classes"
        )


class Masks:
    """Classes per pixel (``target.masks``), of cells (mask, size of the picture).

    Field ``target`` (U, H, W) uint8: the class of every pixel that the encoder of the picture reads, 255 where there is
    none or it does not count.

    Args:
        pixels: answers are masks of the file as it is ``stored``, or of the picture as it is seen, ``upright``; targets
            may be either, told by their size.

    Attributes:
        frame: of the input that reads the pictures, and that reader's name: facts of the head.
    """

    media, joint, sides = False, True, ("media", "size")

    def __init__(self, pixels: str = "stored"):
        check_pixels(pixels)
        self.pixels, self.column, self.reader = pixels, "", ""
        self.frame: Frame | None = None
        self.classes: list[int] = []
        self.notes: list[str] = []

    def see_as(self, frame: Frame, reader: str) -> None:
        """Learn how the pictures are seen, and by which reader."""
        self.frame, self.reader = frame, reader

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:
        """Learn the classes.

        Raises:
            ValueError: no training row has a mask, or all pixels have one class.
        """
        self.column = next(iter(columns))
        seen, counts, why = 0, np.zeros(IGNORED + 1, np.int64), ""
        for mask, _ in cells:
            values = _attempt(mask, limits)
            if isinstance(values, np.ndarray):
                counts, seen = counts + np.bincount(values.ravel(), minlength=IGNORED + 1), seen + 1
            elif values is not None and not why:
                why = f"; the first cell: {values}"
        self.classes = [int(n) for n in np.flatnonzero(counts[:IGNORED])]
        if not self.classes:
            raise ValueError(f"output {self.column!r}: no training row has a mask{why}")
        if len(self.classes) < 2:
            hint = f"; {IGNORED} counts nowhere: write the class as another number" if counts[IGNORED] else ""
            raise ValueError(f"output {self.column!r}: every pixel of training has the class {self.classes[0]}{hint}")
        ignored = counts[IGNORED] / counts.sum()
        self.notes = [
            f"output {self.column!r}: {len(self.classes)} classes in {seen:,} masks"
            + (f", {ignored:.1%} of the pixels count nowhere ({IGNORED})" if ignored else "")
        ]

    def facts(self) -> dict[str, Any]:
        """``classes``; ``frame``, how pictures are seen, and ``reader``, by whom."""
        frame = None if self.frame is None else self.frame.to_json()
        return {"classes": self.classes, "frame": frame, "reader": self.reader}

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {**self.facts(), "column": self.column}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.classes, self.column, self.reader = list(state["classes"]), state["column"], state["reader"]
        self.frame = None if state["frame"] is None else Frame.from_json(state["frame"])

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:
        """Per cell uint8: the mask as the encoder sees the picture, and behind it the mask itself as a PNG file."""
        return [self._encode(cell, limits) for cell in cells]

    def _encode(self, cell: tuple[Any, Any], limits: Limits) -> np.ndarray | BadCell:
        said, size = cell
        values = _attempt(said, limits)
        if values is None:
            return BadCell("no mask")
        if isinstance(values, BadCell):
            return values
        if isinstance(size, BadCell):
            return BadCell(f"its picture cannot be read: {size}")
        if not isinstance(size, PictureSize):
            return BadCell("there is a mask, and no picture beside it")
        values = _turned(values, size, self.pixels)
        if isinstance(values, BadCell):
            return values
        codes = np.full(IGNORED + 1, IGNORED - 1, np.uint8)
        codes[[*self.classes, IGNORED]] = [*range(len(self.classes)), IGNORED]
        own = np.unique(values)
        if unknown := [int(n) for n in own if n != IGNORED and n not in self.classes]:
            return UnseenLabel(
                f"class {unknown[0]} of a pixel was not seen in training; known: {', '.join(map(str, self.classes))}"
            )
        assert self.frame is not None
        matrix = self.frame.matrix(size, self.pixels)
        seen = sample(codes[values], matrix, (self.frame.height, self.frame.width), IGNORED)
        file = io.BytesIO()
        Image.fromarray(values).save(file, "PNG", compress_level=1)
        return np.concatenate([seen.ravel(), np.frombuffer(file.getvalue(), np.uint8)])

    def decode(self, cells: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Arrays back to masks of the size of their pictures, uint8 (H, W)."""
        return [np.asarray(Image.open(io.BytesIO(cell[self._pixels :].tobytes()))) for cell in cells]

    @property
    def _pixels(self) -> int:
        assert self.frame is not None
        return self.frame.height * self.frame.width

    def blank(self) -> np.ndarray:
        """A mask of which nothing counts."""
        return np.full(self._pixels, IGNORED, np.uint8)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``target`` (U, H, W)."""
        assert self.frame is not None
        seen = np.stack([cell[: self._pixels] for cell in cells])
        return {"target": seen.reshape(len(cells), self.frame.height, self.frame.width)}


def _attempt(content: Any, limits: Limits) -> np.ndarray | BadCell | None:
    """A mask's classes, or why it cannot be read; None where it is missing."""
    if content is None or isinstance(content, BadCell):
        return content
    try:
        return read_mask(content, limits)
    except BadCell as error:
        return BadCell(str(error))


def _turned(values_HW: np.ndarray, size: PictureSize, pixels: str) -> np.ndarray | BadCell:
    """A mask in pixels of its picture as it is stored, or upright; it comes as either."""
    wanted, other = size.seen(pixels), size.seen(next(way for way in PIXELS if way != pixels))
    if values_HW.shape == wanted:
        return values_HW
    if values_HW.shape != other:
        (height, width), (tall, wide) = values_HW.shape, wanted
        return BadCell(
            f"a mask of {width} x {height} pixels beside a picture of {wide} x {tall}; expected the same size"
        )
    turn = Frame(*size.upright).matrix(size)  # as it is stored -> upright
    return sample(values_HW, turn if pixels == "upright" else inverse(turn), wanted, IGNORED)
