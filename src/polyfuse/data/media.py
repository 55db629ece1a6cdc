"""Which media cells are, and how many of them are broken: by path ending and first bytes, a sample decoded.

Quick on large tables: every distinct path is looked up, but only some of the contents are opened.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.data.cells import audio, image
from polyfuse.data.cells.items import ending
from polyfuse.data.cells.source import BadCell, Limits, Media, is_remote, load, located
from polyfuse.data.cells.written import embedded, saved_array, signature

UNREAD: dict[str, str] = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "pictures that Pillow does not read; convert them to JPEG or PNG"),
    **dict.fromkeys((".svg", ".svgz", ".eps", ".ai", ".ps", ".wmf", ".emf"), "drawings; render them as PNG"),
    **dict.fromkeys((".dcm", ".dicom", ".nii"), "medical scans; save their pixels as PNG (16 bits are kept)"),
    **dict.fromkeys(
        (".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"), "raw photographs; develop them to JPEG or PNG"
    ),
    **dict.fromkeys((".pdf", ".doc", ".docx", ".ppt", ".pptx"), "documents; save their text, or their pages as PNG"),
    **dict.fromkeys((".mid", ".midi"), "notes and no sound; render them as WAV or FLAC"),
    **dict.fromkeys(
        (".npz", ".pt", ".pth", ".pkl", ".h5", ".hdf5", ".mat"), "saved arrays; put the numbers into the cells"
    ),
}
"""Endings of media that a column may mean but nothing here reads -> what they are and what to do."""

DESCRIBE: dict[str, Callable[[Media, Limits], Any]] = {"image": image.describe, "audio": audio.describe}
"""Modality -> the function that reads a header and raises ``BadCell``; video has none yet, its files are looked up."""


def unread(path: Any) -> str | None:
    """The ending of a path to a medium that nothing here reads, or None."""
    found = re.search(r"\.\w{2,5}$", path.strip().removesuffix(".gz").lower()) if isinstance(path, str) else None
    return found[0] if found and found[0] in UNREAD and "\n" not in path else None


def is_picture(cell: Any) -> bool:
    """Whether an array has the shape of a picture, (H, W, 1 | 3 | 4) or (1 | 3 | 4, H, W), or (H, W) of bytes."""
    if not isinstance(cell, np.ndarray) or cell.dtype.kind not in "buif":
        return False
    return has_channels(cell.shape) or (cell.ndim == 2 and cell.dtype == np.uint8)


def has_channels(shape: tuple[int, ...]) -> bool:
    """Whether a shape is that of colours, the channels last or first."""
    return len(shape) == 3 and (shape[-1] in (1, 3, 4) or shape[0] in (1, 3, 4))


def medium(cell: Any, root: Path | None = None) -> str | None:
    """The modality of one media cell: a path, bytes, base64, ``{"bytes", "path"}``, ``{"array", "sampling_rate"}``, a
    picture or its array.

    A path without a known ending is opened when it names a file.
    """
    if isinstance(cell, dict):
        if cell.get("array") is not None:
            return "audio"
        cell = cell.get("bytes") or cell.get("path")
    if hasattr(cell, "getbands"):
        return "image"
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return signature(bytes(cell[:16])) or ("image" if is_picture(saved_array(bytes(cell))) else None)
    if isinstance(cell, np.ndarray):
        return "image" if is_picture(cell) else None
    if isinstance(cell, str) and (content := embedded(cell)) is not None:
        return signature(content)
    if isinstance(cell, (str, Path)):
        return ending(str(cell)) or _opened(str(cell), root)
    return None


def _opened(path: str, root: Path | None) -> str | None:
    array = path.strip().lower().endswith(".npy")
    if is_remote(path) or (not array and "/" not in path and "\\" not in path):
        return None
    try:
        place = located(path, root)
        if array:
            return "image" if is_picture(np.load(place, mmap_mode="r", allow_pickle=False)) else None
        with place.open("rb") as file:
            return signature(file.read(16))
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class Health:
    """What was found of a column's distinct media cells.

    Args:
        reasons: key of each cell that cannot be read -> why.
        files: how many are files; ``found`` of them exist and are neither empty nor too large.
        opened: how many contents were looked into; ``unreadable`` of them in vain.
        remote: how many are internet addresses.
    """

    reasons: dict[Any, str]
    files: int
    found: int
    opened: int
    unreadable: int
    remote: int

    @property
    def broken(self) -> frozenset[Any]:
        """Keys of the cells that cannot be read."""
        return frozenset(self.reasons)


def examine(cells: dict[Any, Any], modality: str, root: Path | None, limits: Limits, sample: int) -> Health:
    """Look every file up and into at most ``sample`` contents, evenly spread; bytes of no known format all get a look.

    Args:
        cells: key -> cell, each distinct cell once.
    """
    paths = {key: path for key, cell in cells.items() if (path := _path(cell)) is not None}
    lost = {key: _lost(path, root, limits) for key, path in paths.items() if not _usable(path, root, limits)}
    odd = [key for key, cell in cells.items() if key not in paths and medium(cell) != modality]
    spread = evenly([key for key in cells if key not in lost], sample)
    opened = dict.fromkeys([*odd, *spread]) if modality in DESCRIBE else {}
    failures = {key: _failure(cells[key], modality, root, limits) for key in opened}
    unreadable = {key: reason for key, reason in failures.items() if reason}
    remote = sum(map(is_remote, paths.values()))
    found = len(paths) - len(lost)
    return Health(lost | unreadable, len(paths), found, len(opened), len(unreadable), remote)


def evenly(items: list, most: int) -> list:
    """At most ``most`` of the items, evenly spaced."""
    if len(items) <= most:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, most).astype(int)]


def _path(cell: Any) -> str | None:
    if isinstance(cell, dict) and cell.get("bytes") is None and cell.get("array") is None:
        cell = cell.get("path")
    return str(cell) if isinstance(cell, (str, Path)) and embedded(str(cell)) is None else None


def _usable(path: str, root: Path | None, limits: Limits) -> bool:
    try:
        found = located(path, root).stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and 0 < found.st_size <= limits.bytes


def _lost(path: str, root: Path | None, limits: Limits) -> str:
    """Why a file cannot be used."""
    try:
        load(path, root, limits)
    except BadCell as error:
        return str(error)
    return f"{path}: no file that can be read"


def _failure(cell: Any, modality: str, root: Path | None, limits: Limits) -> str:
    """Why a content cannot be read, or nothing."""
    try:
        DESCRIBE[modality](load(cell, root, limits), limits)
    except BadCell as error:
        return str(error)
    return ""
