"""What lies in one media cell: one thing, a list of them, or paths written side by side; and what a path ends in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.data.cells.source import is_missing
from polyfuse.data.cells.written import written_list

IMAGE = (
    "png apng jpg jpeg jpe jfif gif bmp dib webp tif tiff ppm pgm pbm pnm pfm ico icns cur tga avif avifs "
    "jp2 j2k j2c jpc jpf jpx mpo psd pcx sgi dds qoi xbm xpm fits"
)
AUDIO = "wav wave flac ogg oga opus mp3 mp2 m4a aac ac3 aif aiff aifc au snd caf w64 rf64 voc sph wma amr ape weba"
VIDEO = "mp4 m4v mov avi mkv webm mpg mpeg wmv flv 3gp ogv ts mts"
ENDINGS = {
    f".{end}": kind for kind, ends in (("image", IMAGE), ("audio", AUDIO), ("video", VIDEO)) for end in ends.split()
}
"""File ending -> modality."""


def ending(path: str) -> str | None:
    """The modality that a path or address ends in, or None."""
    name = path.rsplit("/", 1)[-1].partition("?")[0] if "://" in path else path
    return ENDINGS.get("." + name.rpartition(".")[2].lower().strip()) if "." in name else None


def items_of(cell: Any) -> list[Any]:
    """The media of one cell, in order; a cell that holds one thing is that thing.

    Example:
        >>> items_of("a.jpg;b.jpg"), items_of("['a.jpg']"), items_of("a.jpg")
        (['a.jpg', 'b.jpg'], ['a.jpg'], ['a.jpg'])
    """
    if isinstance(cell, str):
        return _in_text(cell)
    if isinstance(cell, np.ndarray) and cell.dtype == object:
        cell = cell.tolist()
    if isinstance(cell, (list, tuple)) and cell and all(map(_is_medium, cell)):
        return list(cell)
    return [cell]


def _is_medium(item: Any) -> bool:
    """A path, a file's bytes, a record of one, a picture, or an array of pixels; lists of numbers are features."""
    if is_missing(item) or isinstance(item, (str, Path, bytes, bytearray, memoryview, dict)):
        return True
    pixels = isinstance(item, np.ndarray) and (item.ndim == 3 or (item.ndim == 2 and item.dtype == np.uint8))
    return pixels or hasattr(item, "getbands")


def _in_text(text: str) -> list[Any]:
    bare = text.strip()
    if bare[:1] in ("[", "(", "{"):
        items = written_list(bare)
        return items if items and all(isinstance(item, str) for item in items) else [text]
    if "://" in bare or bare[:5].lower() == "data:":
        return [text]
    for mark in ";|,\n":
        parts = [part.strip() for part in re.split(rf"{re.escape(mark)}", bare) if part.strip()] if mark in bare else []
        if len(parts) > 1 and all(ending(part) for part in parts):
            return parts
    return [text]
