"""Cells as the plain text that is written in them, for a head that reads columns of its own (``text.plain``).

Nothing is fitted and nothing is left out: what a text is made into is the head's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyfuse.data.cells.source import BadCell, Limits
from polyfuse.data.cells.text import as_text
from polyfuse.data.cells.transform import pad


class PlainText:
    """Fields ``characters`` (U, T) int32 with 0 behind the end, and ``lengths`` (U,) int64."""

    media = joint = False

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:
        """Nothing to learn."""

    def facts(self) -> dict[str, Any]:
        """None."""
        return {}

    def state(self) -> dict[str, Any]:
        """Nothing is fitted."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing is fitted."""

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:
        """Per cell its characters by number (T,) int32, none where no character is visible; see ``text.as_text``."""
        texts = [as_text(cell, limits) for cell in cells]
        return [np.array([] if isinstance(t, BadCell) else [ord(c) for c in t], np.int32) for t in texts]

    def blank(self) -> np.ndarray:
        """The empty text."""
        return np.zeros(0, np.int32)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``characters`` (U, T), ``lengths`` (U,)."""
        characters, lengths = pad(list(cells))
        return {"characters": characters, "lengths": lengths}


def plain_texts(fields: Mapping[str, Any]) -> list[str]:
    """Collated fields, as arrays or tensors -> the text of each cell."""
    rows = zip(fields["characters"].tolist(), fields["lengths"].tolist(), strict=True)
    return ["".join(map(chr, row[:length])) for row, length in rows]
