"""Load the value of a media cell as bytes or an array, within limits, so that one bad cell never stops a run.

Cells may be paths, bytes, base64 and data URIs, ``{"bytes", "path"}`` (Parquet and Hugging Face), PIL images, NumPy
arrays, or ``{"array", "sampling_rate"}``. NumPy only: training, serving and the torch-free runtime share this code.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from polyfuse.data.cells.literals import decode_embedded, load_npy


class BadCell(ValueError):
    """A cell that cannot be read; it counts as missing and is reported with its row and file."""


UNREAD = ("cell counts as missing, it", "cells count as missing, they")  # as ``format_count`` takes it: cannot be read


class NothingHere(BadCell):
    """A cell without what it is read for, such as a silent film in a column of sounds: missing, and not broken."""


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
    """True for None, NaN, NaT, pandas' NA, blank text, empty lists and records of nothing."""
    if value is None or (isinstance(value, (str, bytes, list, tuple, set, frozenset)) and len(value) == 0):
        return True
    if isinstance(value, np.ndarray):
        return value.size == 0
    if isinstance(value, dict):  # Parquet's way to say that there is no picture
        return all(item is None for item in value.values())
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, (float, np.floating, np.datetime64)):
        return bool(value != value)
    return type(value).__name__ in ("NAType", "NaTType")


def content_digest(content: Media | str) -> bytes:
    """Hash of the content, 16 bytes, wherever it came from."""
    if isinstance(content, Sound):
        return content_digest(content_digest(content.samples) + str(content.rate).encode())
    if isinstance(content, np.ndarray):
        head = f"{content.dtype}{content.shape}".encode()
        return hashlib.blake2b(head + np.ascontiguousarray(content).tobytes(), digest_size=16).digest()
    raw = content.encode("utf8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.blake2b(raw, digest_size=16).digest()


def load_media(value: Any, root: Path | None = None, limits: Limits = Limits()) -> Media:
    """Load the content of a media cell.

    Args:
        value: any of the forms this module names; nested lists count as arrays.
        root: folder that relative paths start from.
        limits: what is too large to read.

    Raises:
        BadCell: no such file, empty, too large, or a value of no known form.
    """
    if isinstance(value, dict):
        return _from_record(value, root, limits)
    if isinstance(value, str) and (content := decode_embedded(value)) is not None:
        return _content(content, limits)
    if isinstance(value, (str, Path)):
        return _from_file(value, root, limits)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _content(bytes(value), limits)
    if isinstance(value, (np.ndarray, list, tuple)):
        return _array(value)
    if hasattr(value, "getbands"):  # a PIL image, without importing PIL
        return _from_pillow(value, limits)
    raise BadCell(f"expected a path, bytes, a PIL image or an array, found {type(value).__name__}")


# the camera's orientation -> the number of Pillow's transposition that undoes it
_TRANSPOSITIONS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}


def read_orientation(image: Any) -> int:
    """The camera's orientation of a PIL image, 1 to 8; 1 where it says none."""
    try:
        orientation = image.getexif().get(0x0112)
    except Exception:  # a damaged note about the camera does not spoil the picture
        return 1
    return orientation if orientation in _TRANSPOSITIONS else 1


def apply_orientation(image: Any) -> Any:
    """A PIL image with the camera's orientation applied, without importing PIL."""
    orientation = read_orientation(image)
    return image.transpose(_TRANSPOSITIONS[orientation]) if orientation > 1 else image


def _from_pillow(image: Any, limits: Limits) -> np.ndarray:
    """The array of a PIL image; alpha and more than eight bits are kept."""
    if image.width * image.height > limits.pixels:  # it may not be decoded yet
        raise BadCell(
            f"{image.width:,} x {image.height:,} pixels, over the limit of {limits.pixels:,} (data.limits.pixels)"
        )
    try:
        image = apply_orientation(image)
        if image.mode[0] == "I":  # Pillow's integers hold a 16-bit range
            return np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        if image.has_transparency_data:
            return np.asarray(image.convert("RGBA"))
        return np.asarray(image if image.mode in ("1", "L", "F") else image.convert("RGB"))
    except Exception as error:  # plugins raise whatever they like on damaged files
        raise BadCell(f"damaged picture: {str(error) or type(error).__name__}") from None


def _array(values: Any) -> np.ndarray:
    """A plain array of nested lists, or of the arrays of arrays that Parquet gives."""
    try:
        array = np.asarray(values)
        array = np.stack([_array(value) for value in array]) if array.dtype == object else array
    except (ValueError, TypeError) as error:
        raise BadCell(f"expected an array of numbers: {error}") from None
    if array.dtype.kind not in "buif":
        raise BadCell(f"expected an array of numbers, found {array.dtype}")
    return array


def _from_record(value: dict, root: Path | None, limits: Limits) -> Media:
    if value.get("array") is not None:
        rate = value.get("sampling_rate")
        if not isinstance(rate, (int, float, np.number)) or not 1 <= rate < float("inf"):
            raise BadCell(f"an {{'array': ...}} sound needs its 'sampling_rate' in Hz, found {rate!r}")
        return Sound(_array(value["array"]), int(rate))
    if isinstance(value.get("bytes"), (bytes, bytearray, memoryview)):
        return _content(bytes(value["bytes"]), limits)
    if isinstance(value.get("path"), (str, Path)):
        return _from_file(value["path"], root, limits)
    raise BadCell(f"expected 'bytes', 'path' or 'array' in the cell, found {list(value)}")


def is_remote(path: str | Path) -> bool:
    """Whether a cell is the address of something on the internet or in a store; ``file://`` is on this machine."""
    text = str(path).strip()
    return ("://" in text or text.startswith(("http:/", "https:/"))) and not _FILE.match(text)


def find_file(path: str | Path, root: Path | None = None) -> Path:
    """Find the file of a cell, whose spelling in the table may differ from the file's name.

    Where there is no file of exactly that path, blanks around it are taken off, a ``file://`` address is read as a
    path, backslashes are read as slashes, and letters may differ in case or composition, as long as only one file fits.

    Args:
        root: folder that relative paths start from.

    Returns:
        The path of a file; the path as written where none fits.
    """
    text = str(path)
    exact = _below(root, text)
    if _exists(exact):
        return exact
    cleaned = text.strip()
    if address := _FILE.match(cleaned):
        cleaned = unquote(cleaned[address.end() :])
        cleaned = cleaned if os.name != "nt" else cleaned.lstrip("/")
    for spelling in dict.fromkeys((cleaned, cleaned.replace("\\", "/"))):
        full = _below(root, spelling)
        if found := full if _exists(full) else _find_other_spelling(full):
            return found
    return exact


_HALF = re.compile(r"[\ud800-\udfff]")
_FILE = re.compile(r"file:(?://(?:localhost)?)?(?=/)", re.IGNORECASE)


def _below(root: Path | None, path: str) -> Path:
    return Path(path) if root is None else root / path  # an absolute path stays as it is


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long a name, or a null byte
        return False


def _find_other_spelling(path: Path) -> Path | None:
    """The only file whose path differs in letter case, or in how accents are composed."""
    found = Path(path.anchor) if path.anchor else Path()
    for part in path.parts[1:] if path.anchor else path.parts:
        if part in ("..", "."):
            found /= part
            continue
        try:
            names = _names(str(found), found.stat().st_mtime_ns)
        except (OSError, ValueError):
            return None
        fits = [part] if part in names.get(_fold_name(part), ()) else names.get(_fold_name(part), ())
        if len(fits) != 1:
            return None
        found /= fits[0]
    return found


def _fold_name(name: str) -> str:
    return unicodedata.normalize("NFC", repair_surrogates(name)).casefold()


def repair_surrogates(text: str) -> str:
    """Join halves of surrogate pairs in a text, and replace each half that stands alone by U+FFFD.

    Python's texts may hold halves, from JSON or from names of files in other encodings; files and reports cannot.
    """
    if text.isascii() or not _HALF.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@lru_cache(maxsize=64)
def _names(folder: str, _changed: int) -> dict[str, list[str]]:
    """Names in a folder by what they are without regard to case; read again when the folder has changed."""
    names: dict[str, list[str]] = {}
    for name in os.listdir(folder):
        names.setdefault(_fold_name(name), []).append(name)
    return names


def _from_file(path: str | Path, root: Path | None, limits: Limits) -> Media:
    text = str(path)
    if is_remote(text):
        raise BadCell(f"{text}: remote addresses are not read; download the file first")
    full = find_file(path, root)
    try:
        status = full.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a device or a pipe may never end
            raise BadCell(f"{path}: not a file")
        if status.st_size > limits.bytes:
            raise BadCell(f"{path}: {status.st_size:,} bytes, over the limit of {limits.bytes:,} (data.limits.bytes)")
        return _content(full.read_bytes(), limits, text)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        if isinstance(error, BadCell):
            raise
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise BadCell(f"{path}: {reason}") from None


def _content(content: bytes, limits: Limits, name: str = "cell") -> Media:
    """Bytes within limits; the array where they are that of a ``.npy`` file."""
    array = load_npy(_check_size(content, limits, name))
    return content if array is None else _array(array)


def _check_size(content: bytes, limits: Limits, name: str = "cell") -> bytes:
    if not content:
        raise BadCell(f"{name}: zero bytes")
    if len(content) > limits.bytes:
        raise BadCell(f"{name}: {len(content):,} bytes, over the limit of {limits.bytes:,} (data.limits.bytes)")
    return content
