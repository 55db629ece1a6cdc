"""Segments of a picture, as COCO writes them, drawn as a class per pixel: polygons and runs of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from polyfuse.data.cells.source import BadCell, Limits

MOST_CLASSES, IGNORED = 254, 255


def are_segments(cell: Any) -> bool:
    """Whether a cell holds segments: ``{segments: [{class, shape}], height, width}``."""
    return isinstance(cell, Mapping) and {"segments", "height", "width"} <= cell.keys()


def draw_segments(cell: Mapping[str, Any], limits: Limits = Limits()) -> np.ndarray:
    """A class per pixel, uint8 (height, width): 0 where nothing lies, 255 in crowds; smaller segments lie on top.

    Raises:
        BadCell: a segment that cannot be read, or more pixels than ``limits.pixels``.
    """
    height, width = int(cell["height"]), int(cell["width"])
    if height * width > limits.pixels or height * width < 1:
        raise BadCell(f"a mask of {width:,} x {height:,} pixels; expected 1 to {limits.pixels:,} (data.limits.pixels)")
    drawn = np.zeros((height, width), np.uint8)
    order = sorted(cell["segments"], key=lambda one: (not one.get("crowd"), -float(one.get("area") or 0)))
    for at, one in enumerate(order):
        try:
            drawn[_shape(one["shape"], height, width)] = IGNORED if one.get("crowd") else int(one["class"])
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise BadCell(f"segment {at}: {error}; expected polygons [[x, y, x, y, ...]] or runs of pixels") from None
    return drawn


def _shape(shape: Any, height: int, width: int) -> np.ndarray:
    """Which pixels belong to a segment, (height, width) bool."""
    if isinstance(shape, Mapping):
        return _from_runs(shape, height, width)
    picture = Image.new("1", (width, height))
    pen = ImageDraw.Draw(picture)
    for polygon in shape:
        points = [(float(x), float(y)) for x, y in zip(polygon[::2], polygon[1::2], strict=True)]
        if len(points) >= 3:
            pen.polygon(points, fill=1)
    return np.asarray(picture, bool)


def _from_runs(shape: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """Runs of pixels down the columns, outside and inside by turns."""
    tall, wide = map(int, shape["size"])
    if (tall, wide) != (height, width):
        raise ValueError(f"runs of {wide} x {tall} pixels in a picture of {width} x {height}")
    counts = shape["counts"]
    runs = _unpack(counts) if isinstance(counts, (str, bytes)) else [int(count) for count in counts]
    if any(run < 0 for run in runs) or sum(runs) > height * width:
        raise ValueError("runs of more pixels than the picture has")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.pad(inside, (0, height * width - len(inside))).reshape(width, height).T


def _unpack(packed: str | bytes) -> Sequence[int]:
    """Lengths of runs as pycocotools packs them: five bits a character, from the third on less the last but one."""
    data = packed.encode() if isinstance(packed, str) else packed
    runs, at = list[int](), 0
    while at < len(data):
        value, shift, more = 0, 0, True
        while more:
            code = data[at] - 48
            value |= (code & 31) << shift
            more, at, shift = bool(code & 32), at + 1, shift + 5
            if not more and code & 16:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs
