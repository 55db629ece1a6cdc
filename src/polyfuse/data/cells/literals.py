"""Parse text cells that hold lists (as Python, JSON or NumPy print them) or files (base64 or data URI)."""

from __future__ import annotations

import ast
import base64
import binascii
import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np

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
    (0, b"\0\0\0\x0cjP  ", "image"),
    (8, b"WAVE", "audio"),
    (0, b"fLaC", "audio"),
    (0, b"OggS", "audio"),
    (0, b"ID3", "audio"),
    *((0, b"\xff" + bytes([second]), "audio") for second in (0xE2, 0xE3, 0xF1, 0xF2, 0xF3, 0xF9, 0xFA, 0xFB)),
    (0, b"FORM", "audio"),
    (0, b"caff", "audio"),
    (4, b"ftypM4A", "audio"),
    (4, b"ftyp", "video"),
    (8, b"AVI ", "video"),
    (0, b"\x1a\x45\xdf\xa3", "video"),
    (0, b"FLV", "video"),
    (0, b"\0\0\x01\xba", "video"),
)

LONGEST = 100_000  # characters of a list that are parsed
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*", re.ASCII)
_SHORTEST = 64  # characters from which a text may be a file in base64
_PRINTED = re.compile(r"\[\s*(?:'[^']*'|\"[^\"]*\")(?:\s+(?:'[^']*'|\"[^\"]*\"))*\s*\]")
_NUMBERS = re.compile(r"\[[\s\d.eE+-]+\]", re.ASCII)


def modality_from_bytes(content: bytes) -> str | None:
    """Modality by the magic bytes at the start of a file, or None."""
    return next((kind for at, mark, kind in SIGNATURES if content[at : at + len(mark)] == mark), None)


def decode_embedded(text: str) -> bytes | None:
    """Decode the file that a text holds as a data URI (``data:image/png;base64,...``) or as base64 alone, or None."""
    if text[:5].lower() == "data:" and "," in text:
        head, _, body = text.partition(",")
        return _from_base64(body) if head.lower().endswith(";base64") else unquote_to_bytes(body)
    if (
        len(text) < _SHORTEST
        or modality_from_bytes(_from_base64(text[:32]) or b"") is None
        or not _BASE64.fullmatch(text)
    ):
        return None
    return _from_base64(text)


def _from_base64(text: str) -> bytes | None:
    letters = "".join(text.split())
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def parse_list(text: str) -> list[Any] | None:
    """Parse a list, tuple or set as Python, JSON or NumPy write it; None for other texts.

    Example:
        >>> parse_list("['a', 'b']"), parse_list('["a"]'), parse_list("['a' 'b']"), parse_list("[0 1]")
        (['a', 'b'], ['a'], ['a', 'b'], [0, 1])
    """
    text = text.strip()
    if text in ("set()", "frozenset()"):
        return []
    text = text.removeprefix("frozenset(").removesuffix(")") if text.startswith("frozenset(") else text
    if not text or text[0] + text[-1] not in ("[]", "{}", "()") or len(text) > LONGEST:
        return None
    if _PRINTED.fullmatch(text):  # NumPy writes no commas, which Python would take for one long text
        return [single or double for single, double in re.findall(r"'([^']*)'|\"([^\"]*)\"", text)]
    if _NUMBERS.fullmatch(text) and "," not in text and " " in text.strip("[] \n"):
        return _parse_numbers(text[1:-1].split())
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, (set, frozenset)):
            return sorted(found, key=str)
        return list(found) if isinstance(found, (list, tuple)) else None
    return None


def _parse_numbers(words: list[str]) -> list[Any] | None:
    try:
        return [int(word) if re.fullmatch(r"[+-]?\d+", word) else float(word) for word in words]
    except ValueError:
        return None


def load_npy(content: bytes) -> np.ndarray | None:
    """Load the array in the bytes of a ``.npy`` file without objects, or None."""
    import io

    if not content.startswith(b"\x93NUMPY"):
        return None
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError):
        return None
