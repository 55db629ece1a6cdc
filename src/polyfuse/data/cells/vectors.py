"""Ready-made features, one vector per cell or a sequence of them, standardised.

Features made by other models come in any unit and with rare huge values: each feature is standardised on the training
cells, then clipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from collections.abc import Sequence as Cells
from typing import Any

import numpy as np

from polyfuse.data.cells.source import BadCell, Limits
from polyfuse.data.cells.transform import pad


def as_array(cell: Any, axes: int) -> np.ndarray | BadCell:
    """A cell as numbers with so many axes, or what is wrong with it.

    Cells are arrays, lists, or text such as ``[0.1, 0.2]``, ``0.1 0.2``, ``0.1,0.2`` and NumPy's ``[0.1 0.2]``. As a
    sequence, a plain list of numbers is one of vectors of one number.
    """
    try:
        numbers = np.asarray(_parsed(cell) if isinstance(cell, str) else cell)
        if numbers.dtype == object:  # Parquet gives arrays of arrays
            numbers = np.stack([np.asarray(row, dtype=np.float64) for row in numbers])
        numbers = numbers.astype(np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        return BadCell(f"expected numbers, found {str(cell)[:60]!r} ({error})")
    numbers = numbers[:, None] if axes == 2 and numbers.ndim == 1 else numbers  # one number at a time
    if numbers.ndim != axes or not numbers.size:
        return BadCell(f"expected {_AXES[axes]}, found an array of shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        bad = ~np.isfinite(numbers)
        first = int(np.argwhere(bad)[0][-1]) + 1
        return BadCell(f"{bad.sum()} of {numbers.size} numbers are not finite, feature {first} first: fill or drop it")
    return numbers


_AXES = {1: "a vector of numbers", 2: "a sequence of vectors, (time, features)"}


def _parsed(text: str) -> Any:
    text = re.sub(r"^\s*(?:array|tensor)\((.*?)(?:,\s*dtype=[\w.]+)?\)\s*$", r"\1", text, flags=re.DOTALL)
    if not text.lstrip().startswith("["):
        return re.split(r"[\s,;]+", text.strip(" \t\n,;"))
    if re.search(r"\.\.\.(?!\d)", text):
        raise ValueError("NumPy left numbers out where it printed '...': write them with tolist()")
    try:
        return json.loads(text)
    except ValueError:  # NumPy divides by blanks and writes 1. for 1.0
        if not re.fullmatch(r"[\[\]\s,\d.eE+naif-]+", text) or text.count("[") != text.count("]"):
            raise
        rows = re.findall(r"\[([^\[\]]*)\]", text)
        numbers = [[float(word) for word in re.split(r"[\s,]+", row.strip(" \t\n,"))] for row in rows]
        return numbers if text.lstrip()[1:].lstrip().startswith("[") else numbers[0]


class _Scaled:
    """Centre and spread of each feature; a feature that never changes keeps its unit."""

    media = joint = False
    axes: int

    def __init__(self, clip: float, standardise: bool):
        if clip <= 0:
            raise ValueError(f"clip: expected a positive number of standard deviations, found {clip}")
        self.clip, self.standardise = clip, standardise
        self.centre, self.spread = np.zeros(0), np.ones(0)

    def fit(self, cells: Cells[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn width, centre and spread of the features.

        Raises:
            ValueError: no cell holds numbers.
        """
        arrays = [array for cell in cells if not isinstance(array := as_array(cell, self.axes), BadCell)]
        if not arrays:
            reason = as_array(cells[0], self.axes)
            raise ValueError(f"column {next(iter(columns))!r}: no training cell can be read; the first: {reason}")
        widths, counts = np.unique([array.shape[-1] for array in arrays], return_counts=True)
        width = widths[counts.argmax()]
        rows = np.concatenate([array.reshape(-1, width) for array in arrays if array.shape[-1] == width])
        self.centre, self.spread = rows.mean(0), rows.std(0)
        self.spread[self.spread < 1e-9 * np.abs(self.centre).clip(1e-30)] = 1
        if not self.standardise:
            self.centre, self.spread = np.zeros(width), np.ones(width)

    def facts(self) -> dict[str, Any]:
        """``size``: features of a vector."""
        return {"size": len(self.centre)}

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {"centre": self.centre.tolist(), "spread": self.spread.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.centre, self.spread = np.array(state["centre"]), np.array(state["spread"])

    def encode(self, cells: Cells[Any], limits: Limits) -> list[np.ndarray | BadCell]:  # noqa: ARG002
        """Scaled features as float32."""
        return [self._scaled(as_array(cell, self.axes)) for cell in cells]

    def _scaled(self, array: np.ndarray | BadCell) -> np.ndarray | BadCell:
        if isinstance(array, BadCell):
            return array
        if array.shape[-1] != len(self.centre):
            return BadCell(f"{array.shape[-1]} features, expected {len(self.centre)} as in training")
        scaled = (array - self.centre) / self.spread
        return (scaled.clip(-self.clip, self.clip) if self.standardise else scaled).astype(np.float32)


class Vector(_Scaled):
    """One ready-made feature vector per cell (``vector``). Field ``x`` (U, D) float32.

    Args:
        clip: standard deviations beyond which a feature is cut.
        standardise: bring each feature to mean 0 and deviation 1; without it nothing is clipped.
    """

    axes = 1

    def __init__(self, clip: float = 5.0, standardise: bool = True):
        super().__init__(clip, standardise)

    def blank(self) -> np.ndarray:
        """Average features."""
        return np.zeros(len(self.centre), np.float32)

    def collate(self, cells: Cells[np.ndarray]) -> dict[str, np.ndarray]:
        """``x`` (U, D)."""
        return {"x": np.stack(cells)}


class Sequence(_Scaled):
    """A sequence of ready-made feature vectors per cell (``sequence``).

    Fields ``x`` (U, T, D) float32, ``lengths`` (U,).

    Args:
        max_tokens: longer sequences are cut.
        clip: standard deviations beyond which a feature is cut.
        standardise: bring each feature to mean 0 and deviation 1 over all times; without it nothing is clipped.
    """

    axes = 2
    keyword = "max_tokens"

    def __init__(self, max_tokens: int = 512, clip: float = 5.0, standardise: bool = True):
        super().__init__(clip, standardise)
        self.max_tokens = max_tokens

    def _scaled(self, array: np.ndarray | BadCell) -> np.ndarray | BadCell:
        return super()._scaled(array if isinstance(array, BadCell) else array[: self.max_tokens])

    @property
    def window(self) -> str:
        """The length that is read of a sequence, in words."""
        return f"{self.max_tokens:,} steps"

    def fills(self, array: np.ndarray) -> bool:
        """Whether there may be more steps than were read."""
        return len(array) >= self.max_tokens

    def cuts(self, cell: Any, limits: Limits) -> bool:  # noqa: ARG002
        """Whether a sequence has more steps than are read."""
        array = as_array(cell, self.axes)
        return not isinstance(array, BadCell) and len(array) > self.max_tokens

    def blank(self) -> np.ndarray:
        """One vector of average features."""
        return np.zeros((1, len(self.centre)), np.float32)

    def collate(self, cells: Cells[np.ndarray]) -> dict[str, np.ndarray]:
        """``x`` (U, T, D), ``lengths`` (U,)."""
        x, lengths = pad(cells)
        return {"x": x, "lengths": lengths}
