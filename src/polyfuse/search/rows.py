"""Metadata and thumbnails (pictures, sounds) of rows, as an index stores them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pandas as pd
import soundfile

from polyfuse.data.cells.source import Limits
from polyfuse.data.tables import Table
from polyfuse.evaluation.previews import preview_cell

MEDIA = ("image", "audio", "video")
PLAIN = (str, int, float, bool)


def metadata(table: Table, modalities: Mapping[str, str]) -> pd.DataFrame:
    """Every column that can be filtered or shown, with the row's number as ``row``.

    Paths of media stay as text; media that lie in the table itself, and arrays, are left out.
    """
    found: dict[str, Any] = {"row": table.rows_N}
    for name in table.frame:
        cells = table.frame[name]
        if name in ("row", "id", "score", "found"):
            continue
        if cells.map(lambda cell: isinstance(cell, (bytes, dict, list, tuple)) or hasattr(cell, "shape")).any():
            continue
        if (
            modalities.get(name) in (*MEDIA, "vector", "sequence")
            and not cells.map(lambda c: c is None or isinstance(c, PLAIN)).all()
        ):
            continue
        found[name] = cells.to_numpy()
    return pd.DataFrame(found)


def make_thumbnails(
    table: Table, columns: Mapping[str, tuple[str, str]], limits: Limits
) -> dict[str, list[bytes | None]]:
    """Input -> a small picture, or some seconds of sound, per row, where its cell is one that can be read.

    Args:
        columns: input -> its modality (``image`` or ``audio``) and column.
    """
    found = {}
    for name, (modality, column) in columns.items():
        cells = [preview_cell(modality, cell, table.root, limits) for cell in table.frame[column]]
        found[name] = [c.data if c.kind == modality and isinstance(c.data, bytes) else None for c in cells]
        if modality == "audio":
            found[name] = [None if sound is None else _compress_sound(sound) for sound in found[name]]
    return found


def _compress_sound(wave: bytes) -> bytes:
    """A sound as MP3, which every browser plays; as it is where this system writes none."""
    samples, rate = soundfile.read(io.BytesIO(wave))
    file = io.BytesIO()
    try:
        soundfile.write(file, samples, rate, format="MP3")
    except (soundfile.LibsndfileError, ValueError):
        return wave
    return file.getvalue() if len(file.getvalue()) < len(wave) else wave
