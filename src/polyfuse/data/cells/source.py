"""From the value of a media cell to bytes or an array, within limits, so that one bad cell never stops a run.

Cells may be paths, bytes, ``{"bytes", "path"}`` (Parquet and Hugging Face), PIL images, NumPy arrays, or
``{"array", "sampling_rate"}``. NumPy only: training, serving and the torch-free runtime share this code.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


class BadCell(ValueError):
    """A cell that cannot be read; it counts as missing and is reported with its row and file."""


class UnseenLabel(BadCell):
    """A target that training never saw; evaluation refuses it by name."""


@dataclass(frozen=True)
class Limits:
    """Above these a cell counts as broken: a decompression bomb must not take the machine down.

    Args:
        bytes: size of the encoded file.
        pixels: width times height, before resizing.
        seconds: duration of a sound, before cropping.
        characters: text beyond this many characters is cut, not broken.
    """

    bytes: int = 256_000_000
    pixels: int = 100_000_000
    seconds: float = 7200.0
    characters: int = 20_000


@dataclass(frozen=True)
class Sound:
    """A decoded waveform given as an array: ``samples`` (S,) or (S, channels) at ``rate`` Hz."""

    samples: np.ndarray
    rate: int


Media = bytes | np.ndarray | Sound


def is_missing(value: Any) -> bool:
    """True for None, NaN, NaT, pandas' NA, blank text and empty lists."""
    if value is None or (isinstance(value, (str, bytes, list, tuple, np.ndarray)) and len(value) == 0):
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, (float, np.floating, np.datetime64)):
        return bool(value != value)
    return type(value).__name__ in ("NAType", "NaTType")


def digest(content: Media | str) -> bytes:
    """16 bytes that name the content, wherever it came from."""
    if isinstance(content, Sound):
        return digest(np.ascontiguousarray(content.samples).tobytes() + str(content.rate).encode())
    if isinstance(content, np.ndarray):
        head = f"{content.dtype}{content.shape}".encode()
        return hashlib.blake2b(head + np.ascontiguousarray(content).tobytes(), digest_size=16).digest()
    raw = content.encode("utf8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.blake2b(raw, digest_size=16).digest()


def load(value: Any, root: Path | None = None, limits: Limits = Limits()) -> Media:
    """The content of a media cell.

    Args:
        value: any of the forms this module names.
        root: folder that relative paths start from.
        limits: what is too large to read.

    Raises:
        BadCell: no such file, empty, too large, or a value of no known form.
    """
    if isinstance(value, dict):
        return _from_record(value, root, limits)
    if isinstance(value, (str, Path)):
        return _from_file(Path(value), root, limits)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _checked(bytes(value), limits)
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "getbands"):  # a PIL image, without importing PIL
        return np.asarray(value if value.mode in ("L", "RGB") else value.convert("RGB"))
    raise BadCell(f"expected a path, bytes, a PIL image or an array, found {type(value).__name__}")


def _from_record(value: dict, root: Path | None, limits: Limits) -> Media:
    if value.get("array") is not None:
        rate = value.get("sampling_rate")
        if not rate:
            raise BadCell("an {'array': ...} sound needs its 'sampling_rate'")
        return Sound(np.asarray(value["array"]), int(rate))
    if value.get("bytes") is not None:
        return _checked(bytes(value["bytes"]), limits)
    if value.get("path"):
        return _from_file(Path(value["path"]), root, limits)
    raise BadCell(f"expected 'bytes', 'path' or 'array' in the cell, found {sorted(value)}")


def _from_file(path: Path, root: Path | None, limits: Limits) -> bytes:
    text = str(path)
    if "://" in text or text.startswith(("http:/", "https:/")):
        raise BadCell(f"{text}: remote addresses are not read; download the file first")
    full = path if path.is_absolute() or root is None else root / path
    try:
        size = full.stat().st_size
        if size > limits.bytes:
            raise BadCell(f"{path}: {size:,} bytes, over the limit of {limits.bytes:,} (data.limits.bytes)")
        return _checked(full.read_bytes(), limits, text)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        if isinstance(error, BadCell):
            raise
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise BadCell(f"{path}: {reason}") from None


def _checked(content: bytes, limits: Limits, name: str = "cell") -> bytes:
    if not content:
        raise BadCell(f"{name}: zero bytes")
    if len(content) > limits.bytes:
        raise BadCell(f"{name}: {len(content):,} bytes, over the limit of {limits.bytes:,} (data.limits.bytes)")
    return content
