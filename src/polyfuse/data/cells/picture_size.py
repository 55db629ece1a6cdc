"""The size of a picture, for heads that answer in its own pixels; no encoder reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyfuse.data.cells.frame import PictureSize
from polyfuse.data.cells.source import BadCell, Limits


class Size:
    """How large a picture is as it is stored, and how it is to be turned (``image.size``).

    Field ``size`` (U, 3) int64: height, width, and the camera's orientation.
    """

    media, joint, sides = False, True, ("size",)

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:
        """Nothing is learnt."""

    def facts(self) -> dict[str, Any]:
        """None."""
        return {}

    def state(self) -> dict[str, Any]:
        """Nothing is fitted."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""

    def encode(self, cells: Sequence[tuple[Any]], limits: Limits) -> list[np.ndarray | BadCell]:  # noqa: ARG002
        """(3,) int64 per cell."""
        return [self._encode(one) for (one,) in cells]

    def _encode(self, one: Any) -> np.ndarray | BadCell:
        if isinstance(one, PictureSize):
            return np.array(one, np.int64)
        return one if isinstance(one, BadCell) else BadCell("no picture")

    def blank(self) -> np.ndarray:
        """A picture of one pixel."""
        return np.ones(3, np.int64)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``size`` (U, 3)."""
        return {"size": np.stack(cells)}
