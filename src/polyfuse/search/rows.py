"""From rows of a table to what an index keeps of them: metadata, pictures to show, the row's own number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from polyfuse.data.cells.source import Limits
from polyfuse.data.tables import Table
from polyfuse.evaluation.shown import show

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


def pictures(table: Table, columns: Mapping[str, str], limits: Limits) -> dict[str, list[bytes | None]]:
    """Input -> a small picture per row, where its cell is a picture that can be read.

    Args:
        columns: input -> its column of pictures.
    """
    found = {}
    for name, column in columns.items():
        shown = [show("image", cell, table.root, limits) for cell in table.frame[column]]
        found[name] = [s.data if s.kind == "image" and isinstance(s.data, bytes) else None for s in shown]
    return found
