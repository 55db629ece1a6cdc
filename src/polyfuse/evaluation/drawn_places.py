"""A picture with its boxes, or its classes of pixels, drawn on it: what is true, and what was predicted."""

from __future__ import annotations

import colorsys
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from polyfuse.data.cells.frame import Frame, PictureSize, move_boxes, sample
from polyfuse.data.cells.picture import decode, measure
from polyfuse.data.cells.source import BadCell, Limits, is_missing, load_media
from polyfuse.data.media_lists import split_media
from polyfuse.evaluation.previews import CellPreview

SIDE = 320  # pixels of the longer side of a picture that is drawn on
SURE = 0.3  # score from which a box is drawn
MOST = 50  # boxes of a picture that are drawn
HUES = (212, 22, 150, 285, 48, 340, 180, 90)  # as of the labels of words, see report.css
BEHIND, IGNORED = 0, 255  # classes of pixels that are not coloured
SHADE = 0.55  # of a class over the picture


@dataclass(frozen=True)
class DrawnPlaces:
    """The same picture twice; ``true`` is None where nothing is known, ``predicted`` where nothing was said."""

    true: CellPreview | None
    predicted: CellPreview | None


def draw_places(
    cell: Any, true: Any, predicted: Any, *, pixels: str, root: Path | None = None, limits: Limits = Limits()
) -> DrawnPlaces | None:
    """A cell of a picture with boxes or masks on it; None where the picture is missing or cannot be read.

    Args:
        true, predicted: boxes ``[{bbox, label}]``, or a class per pixel; None for none.
        pixels: they are in pixels of the file as it is ``stored``, or of the picture as it is seen, ``upright``.
    """
    if is_missing(cell):
        return None
    try:
        content = load_media(split_media(cell)[0], root, limits)
        picture, size = decode(content, limits), measure(content, limits)
    except BadCell:
        return None
    sides = (None if side is None else _drawn(picture, size, side, pixels) for side in (true, predicted))
    return DrawnPlaces(*sides)


def _drawn(picture: Image.Image, size: PictureSize, places: Any, pixels: str) -> CellPreview:
    share = SIDE / max(picture.size)
    shown = (max(1, round(picture.height * share)), max(1, round(picture.width * share)))
    filter = Image.Resampling.LANCZOS if share < 1 else Image.Resampling.NEAREST
    small = picture.resize((shown[1], shown[0]), filter)
    matrix = Frame(*shown).matrix(size, pixels)
    made = (
        _with_classes(small, places, matrix) if isinstance(places, np.ndarray) else _with_boxes(small, places, matrix)
    )
    file = io.BytesIO()
    made.save(file, "PNG")
    return CellPreview("image", file.getvalue())


def _with_boxes(picture: Image.Image, boxes: Sequence[Mapping[str, Any]], matrix: np.ndarray) -> Image.Image:
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    sure = [box for box in boxes if box.get("score", 1.0) >= SURE][:MOST]
    for box in reversed(sure):  # the best on top
        x, y, w, h = move_boxes(np.array([box["bbox"]], np.float64), matrix)[0]
        colour = colour_of(box["label"])
        pen.rectangle((x, y, max(x + 1, x + w - 1), max(y + 1, y + h - 1)), outline=colour, width=2)
        said = str(box["label"])[:24] + (f" {box['score']:.2f}" if "score" in box else "")
        left, top, right, bottom = pen.textbbox((x + 2, max(0.0, y - 13)), said, font=font)
        pen.rectangle((left - 2, top - 1, right + 2, bottom + 1), fill=colour)
        pen.text((x + 2, max(0.0, y - 13)), said, fill="white", font=font)
    return picture


def _with_classes(picture: Image.Image, mask_HW: np.ndarray, matrix: np.ndarray) -> Image.Image:
    seen_HW = sample(mask_HW, matrix, (picture.height, picture.width), IGNORED)
    pixels = np.asarray(picture).astype(np.float64)
    for kind in np.unique(seen_HW):
        if kind not in (BEHIND, IGNORED):
            at = seen_HW == kind
            pixels[at] = (1 - SHADE) * pixels[at] + SHADE * np.array(colour_of(int(kind)))
    return Image.fromarray(pixels.round().astype(np.uint8))


def colour_of(label: Any) -> tuple[int, int, int]:
    """The colour of a label, the same on every page."""
    hue = HUES[zlib.crc32(str(label).encode("utf8", "surrogatepass")) % len(HUES)]
    red, green, blue = colorsys.hls_to_rgb(hue / 360, 0.42, 0.75)
    return round(255 * red), round(255 * green), round(255 * blue)
