"""Tell the modality of media cells by file ending and first bytes, and check a sample of them for damage.

Quick on large tables: every distinct path is looked up, but only some of the contents are opened.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyfuse.data.cells import audio, clip, image
from polyfuse.data.cells.items import modality_from_ending
from polyfuse.data.cells.literals import decode_embedded, load_npy, modality_from_bytes
from polyfuse.data.cells.source import BadCell, Limits, Media, find_file, is_remote, load_media

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

DESCRIBE: dict[str, Callable[[Media, Limits], Any]] = {
    "image": image.describe,
    "audio": audio.describe,
    "video": clip.describe,
}
"""Modality -> the function that reads a header and raises ``BadCell``."""


def unsupported_ending(path: Any) -> str | None:
    """The file ending of media that are not supported, or None."""
    found = re.search(r"\.\w{2,5}$", path.strip().removesuffix(".gz").lower()) if isinstance(path, str) else None
    return found[0] if found and found[0] in UNREAD and "\n" not in path else None


def is_picture_array(cell: Any) -> bool:
    """Whether an array has the shape of a picture, (H, W, 1 | 3 | 4) or (1 | 3 | 4, H, W), or (H, W) of bytes."""
    if not isinstance(cell, np.ndarray) or cell.dtype.kind not in "buif":
        return False
    return has_channels(cell.shape) or (cell.ndim == 2 and cell.dtype == np.uint8)


def has_channels(shape: tuple[int, ...]) -> bool:
    """Whether a shape is that of colours, the channels last or first."""
    return len(shape) == 3 and (shape[-1] in (1, 3, 4) or shape[0] in (1, 3, 4))


def modality_of_media(cell: Any, root: Path | None = None) -> str | None:
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
        return modality_from_bytes(bytes(cell[:16])) or ("image" if is_picture_array(load_npy(bytes(cell))) else None)
    if isinstance(cell, np.ndarray):
        return "image" if is_picture_array(cell) else None
    if isinstance(cell, str) and (content := decode_embedded(cell)) is not None:
        return modality_from_bytes(content)
    if isinstance(cell, (str, Path)):
        return modality_from_ending(str(cell)) or _modality_of_file(str(cell), root)
    return None


def _modality_of_file(path: str, root: Path | None) -> str | None:
    array = path.strip().lower().endswith(".npy")
    if is_remote(path) or (not array and "/" not in path and "\\" not in path):
        return None
    try:
        place = find_file(path, root)
        if array:
            return "image" if is_picture_array(np.load(place, mmap_mode="r", allow_pickle=False)) else None
        with place.open("rb") as file:
            return modality_from_bytes(file.read(16))
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class MediaHealth:
    """How many of a column's distinct media cells exist and can be read.

    Args:
        reasons: key of each cell that cannot be read -> why.
        files: how many are files; ``found`` of them exist and are neither empty nor too large.
        opened: how many contents were looked into; ``unreadable`` of them in vain.
        remote: how many are internet addresses.
        sizes: of the contents that can be read, in words: pixels, seconds, rates, from the least to the most.
    """

    reasons: dict[Any, str]
    files: int
    found: int
    opened: int
    unreadable: int
    remote: int
    sizes: str = ""

    @property
    def broken(self) -> frozenset[Any]:
        """Keys of the cells that cannot be read."""
        return frozenset(self.reasons)


def check_media(cells: dict[Any, Any], modality: str, root: Path | None, limits: Limits, sample: int) -> MediaHealth:
    """Look every file up and into at most ``sample`` contents, evenly spread; bytes of no known format all get a look.

    Args:
        cells: key -> cell, each distinct cell once.
    """
    paths = {key: path for key, cell in cells.items() if (path := _path_of_cell(cell)) is not None}
    lost = {
        key: _explain_unusable(path, root, limits) for key, path in paths.items() if not _is_usable(path, root, limits)
    }
    odd = [key for key, cell in cells.items() if key not in paths and modality_of_media(cell) != modality]
    spread = sample_evenly([key for key in cells if key not in lost], sample)
    opened = dict.fromkeys([*odd, *spread]) if modality in DESCRIBE else {}
    headers, unreadable = [], {}
    for key in opened:
        try:
            headers.append(DESCRIBE[modality](load_media(cells[key], root, limits), limits))
        except BadCell as error:
            unreadable[key] = str(error)
    remote = sum(map(is_remote, paths.values()))
    found = len(paths) - len(lost)
    sizes = SIZES[modality](headers) if headers else ""
    return MediaHealth(lost | unreadable, len(paths), found, len(opened), len(unreadable), remote, sizes)


def _range(values: Sequence[float], digits: int = 0) -> str:
    """``2`` or ``0.5 to 3.2``."""
    least, most = (f"{value:,.{digits}f}" for value in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"


def _pixels(sizes: Sequence[tuple[int, int]]) -> str:
    small, large = (f"{width:,} x {height:,}" for width, height in (pick(sizes, key=np.prod) for pick in (min, max)))
    return f"{small} pixels" if small == large else f"{small} to {large} pixels"


def _sizes_of_pictures(headers: Sequence[tuple[int, int, str]]) -> str:
    return _pixels([(width, height) for width, height, _ in headers])


def _sizes_of_sounds(headers: Sequence[tuple[float, int, int]]) -> str:
    return f"{_range([one[0] for one in headers], 1)} s, {_range([one[1] for one in headers])} Hz"


def _sizes_of_videos(headers: Sequence[clip.About]) -> str:
    rates = [one.rate for one in headers if one.rate > 0]
    said = [f"{_range([one.seconds for one in headers], 1)} s"]
    said += [f"{_range(rates)} frames a second"] if rates else []
    return ", ".join([*said, _pixels([(one.width, one.height) for one in headers])])


SIZES: dict[str, Callable[[Any], str]] = {
    "image": _sizes_of_pictures,
    "audio": _sizes_of_sounds,
    "video": _sizes_of_videos,
}
"""Modality -> the function that says in words what headers of readable cells hold."""


def sample_evenly(items: list, most: int) -> list:
    """At most ``most`` of the items, evenly spaced."""
    if len(items) <= most:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, most).astype(int)]


def _path_of_cell(cell: Any) -> str | None:
    if isinstance(cell, dict) and cell.get("bytes") is None and cell.get("array") is None:
        cell = cell.get("path")
    return str(cell) if isinstance(cell, (str, Path)) and decode_embedded(str(cell)) is None else None


def _is_usable(path: str, root: Path | None, limits: Limits) -> bool:
    try:
        found = find_file(path, root).stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and 0 < found.st_size <= limits.bytes


def _explain_unusable(path: str, root: Path | None, limits: Limits) -> str:
    """Why a file cannot be used."""
    try:
        load_media(path, root, limits)
    except BadCell as error:
        return str(error)
    return f"{path}: no file that can be read"
