"""The interface of transforms: fit on training cells, encode cells as arrays, collate arrays into padded fields.

A transform is named by a ``Spec`` and built as ``Transform(**spec.keywords)``. It is fitted once, on training cells,
and saved as JSON. ``encode`` does the slow deterministic work (decode, resize, tokenize), whose result is kept;
``collate`` pads a few results into one batch. Everything is NumPy: no torch, no pandas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from polyfuse.data.cells.source import BadCell, Limits


class Transform(Protocol):
    """The contract. ``media`` cells arrive as ``source.Media`` and their arrays are kept on disk; ``joint`` cells are
    tuples with the value of every column of the input, in column order, instead of one value; a joint transform also
    has ``broken(cells) -> [(position, column, reason)]`` for values it takes as missing because it cannot read them,
    and ``unseen(cells) -> [(position, column, value)]`` for categories that training did not show. Instead of both it
    may name in ``sides`` what of each column it is given: the ``value``, the loaded ``media``, or the ``size`` of a
    picture (``frame.PictureSize``), each None where missing and a ``BadCell`` where it cannot be read; every reason
    that ``encode`` then gives is reported for the first column, where that holds a cell. What reads only so much of
    a cell also answers to ``Window``. One that decides something that a user should know keeps a sentence about it
    in ``notes``, a list. One with fields that padding lengthens along other axes than that of a cell's length names
    these in ``ragged``: field -> axes, those of U and of the length not among them.
    """

    media: bool
    joint: bool

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:
        """Learn from training cells (present ones, duplicates included); media transforms may get a sample only.

        Args:
            cells: raw values (``media``: loaded content; ``joint``: tuples, None where missing).
            columns: name -> modality of the input's columns (``number``, ``category``, ``date``, ``image``, ...).
        """

    def facts(self) -> dict[str, Any]:
        """What was fitted and shapes the part: keyword arguments for the encoder or head (``classes``, ...)."""

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""

    def restore(self, state: dict[str, Any]) -> None:
        """Become what ``state()`` described."""

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:
        """One array per cell, or the reason why it cannot be read. Never raises for the content of a cell.

        Deterministic, and independent of the other cells in the call.
        """

    def blank(self) -> np.ndarray:
        """The array that stands for no cell at all, masked by everyone who reads it."""

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Pad arrays (at least one) into fields with leading axis U. Lengths go in ``lengths`` (U,) int64."""


class Window(Protocol):
    """A transform that reads a cell up to some length; what is longer is cut.

    Args:
        window: that length in words, such as ``256 words``.
        keyword: of the encoder, which sets it.
    """

    window: str
    keyword: str

    def fills(self, array: np.ndarray) -> bool:
        """Whether an encoded cell is as long as it may be, so that there may have been more."""

    def cuts(self, cell: Any, limits: Limits) -> bool:
        """Whether a cell (loaded content for media) is longer than what is read of it."""


def pad(arrays: Sequence[np.ndarray], fill: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Stack arrays that differ in their first axis only.

    Returns:
        (U, longest, ...) filled with ``fill`` behind each array's end, and lengths (U,) int64. The longest is at
        least 1, so that no field has an empty axis.
    """
    lengths = np.array([len(a) for a in arrays], dtype=np.int64)
    shape = (len(arrays), max(1, int(lengths.max())), *arrays[0].shape[1:])
    out = np.full(shape, fill, dtype=arrays[0].dtype)
    for row, array in enumerate(arrays):
        out[row, : len(array)] = array
    return out, lengths
