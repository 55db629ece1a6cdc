"""Which media cells are, and how many of them are broken: by path ending and first bytes, a sample decoded.

Quick on large tables: every distinct path is looked up, but only some of the contents are opened.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.data.cells import audio, image
from polyfuse.data.cells.source import BadCell, Limits, Media, is_remote, load, located

IMAGE = "png jpg jpeg jpe jfif gif bmp dib webp tif tiff ppm pgm pbm pnm ico tga avif"
AUDIO = "wav wave flac ogg oga opus mp3 m4a aac aif aiff aifc au wma amr"
VIDEO = "mp4 m4v mov avi mkv webm mpg mpeg wmv flv 3gp ogv ts mts"
ENDINGS = {
    f".{end}": kind for kind, ends in (("image", IMAGE), ("audio", AUDIO), ("video", VIDEO)) for end in ends.split()
}
"""File ending -> modality."""

# (offset, bytes found there, modality): the first row that fits decides
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image"),
    (0, b"\xff\xd8\xff", "image"),
    (0, b"GIF8", "image"),
    (0, b"BM", "image"),
    (0, b"II*\0", "image"),
    (0, b"MM\0*", "image"),
    (8, b"WEBP", "image"),
    (4, b"ftypavif", "image"),
    (8, b"WAVE", "audio"),
    (0, b"fLaC", "audio"),
    (0, b"OggS", "audio"),
    (0, b"ID3", "audio"),
    *((0, b"\xff" + bytes([second]), "audio") for second in (0xE2, 0xE3, 0xF1, 0xF2, 0xF3, 0xF9, 0xFA, 0xFB)),
    (0, b"FORM", "audio"),
    (4, b"ftypM4A", "audio"),
    (4, b"ftyp", "video"),
    (8, b"AVI ", "video"),
    (0, b"\x1a\x45\xdf\xa3", "video"),
    (0, b"FLV", "video"),
    (0, b"\0\0\x01\xba", "video"),
)

DESCRIBE: dict[str, Callable[[Media, Limits], Any]] = {"image": image.describe, "audio": audio.describe}
"""Modality -> the function that reads a header and raises ``BadCell``; video has none yet, its files are looked up."""


def ending(path: str) -> str | None:
    """The modality that a path or address ends in, or None."""
    name = path.rsplit("/", 1)[-1].partition("?")[0] if "://" in path else path
    return ENDINGS.get("." + name.rpartition(".")[2].lower().strip()) if "." in name else None


def signature(content: bytes) -> str | None:
    """The modality that these bytes start as, or None."""
    return next((kind for at, mark, kind in SIGNATURES if content[at : at + len(mark)] == mark), None)


def medium(cell: Any, root: Path | None = None) -> str | None:
    """The modality of one media cell: a path, bytes, ``{"bytes", "path"}``, ``{"array", "sampling_rate"}`` or picture.

    A path without a known ending is opened when it names a file.
    """
    if isinstance(cell, dict):
        if cell.get("array") is not None:
            return "audio"
        cell = cell.get("bytes") or cell.get("path")
    if hasattr(cell, "getbands"):
        return "image"
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return signature(bytes(cell[:16]))
    if isinstance(cell, (str, Path)):
        return ending(str(cell)) or _opened(str(cell), root)
    return None


def _opened(path: str, root: Path | None) -> str | None:
    if is_remote(path) or ("/" not in path and "\\" not in path):
        return None
    try:
        with located(path, root).open("rb") as file:
            return signature(file.read(16))
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class Health:
    """What was found of a column's distinct media cells.

    Args:
        broken: keys of the cells that cannot be read.
        files: how many are files; ``found`` of them exist and are neither empty nor too large.
        opened: how many contents were looked into; ``unreadable`` of them in vain.
        remote: how many are internet addresses.
    """

    broken: frozenset[Any]
    files: int
    found: int
    opened: int
    unreadable: int
    remote: int


def examine(cells: dict[Any, Any], modality: str, root: Path | None, limits: Limits, sample: int) -> Health:
    """Look every file up and into at most ``sample`` contents, evenly spread; bytes of no known format all get a look.

    Args:
        cells: key -> cell, each distinct cell once.
    """
    paths = {key: path for key, cell in cells.items() if (path := _path(cell)) is not None}
    lost = {key for key, path in paths.items() if not _usable(path, root, limits)}
    odd = [key for key, cell in cells.items() if key not in paths and medium(cell) != modality]
    spread = evenly([key for key in cells if key not in lost], sample)
    opened = dict.fromkeys([*odd, *spread]) if modality in DESCRIBE else {}
    unreadable = {key for key in opened if not _readable(cells[key], modality, root, limits)}
    remote = sum(map(is_remote, paths.values()))
    found = len(paths) - len(lost)
    return Health(frozenset(lost | unreadable), len(paths), found, len(opened), len(unreadable), remote)


def evenly(items: list, most: int) -> list:
    """At most ``most`` of the items, evenly spaced."""
    if len(items) <= most:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, most).astype(int)]


def _path(cell: Any) -> str | None:
    if isinstance(cell, dict) and cell.get("bytes") is None and cell.get("array") is None:
        cell = cell.get("path")
    return str(cell) if isinstance(cell, (str, Path)) else None


def _usable(path: str, root: Path | None, limits: Limits) -> bool:
    try:
        found = located(path, root).stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and 0 < found.st_size <= limits.bytes


def _readable(cell: Any, modality: str, root: Path | None, limits: Limits) -> bool:
    try:
        DESCRIBE[modality](load(cell, root, limits), limits)
    except BadCell:
        return False
    return True
