"""Texts as stretches of pieces of a checkpoint's own tokenizer, for encoders that give one vector per stretch.

A text longer than a stretch is cut into stretches of nearly equal length, so that none is a leftover of a few words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from polyfuse.data.cells.source import BadCell
from polyfuse.data.cells.text import SavedTokenizer
from polyfuse.data.cells.transform import pad


class Stretches(SavedTokenizer):
    """A text as a few runs of pieces (``text.stretches``).

    Fields ``ids`` (U, S, L) int64, 1 + the id of each piece and 0 for nothing, ``span`` (U, S, 2) int64, ``lengths``
    (U,), in stretches.

    Args:
        file: path of a ``tokenizer.json`` that adds no special pieces; read once, then it is part of the model.
        stretch: pieces of a stretch at most, those around it not counted.
        most: stretches of a text at most; longer texts are cut.
        around: ids of the pieces in front of and behind every stretch.

    See also: ``SavedTokenizer`` for one token per piece.
    """

    keyword = "most"
    ragged: ClassVar = {"ids": (2,)}

    def __init__(self, file: str, stretch: int = 128, most: int = 8, around: Sequence[int] = (1, 2)):
        for name, value in (("stretch", stretch), ("most", most)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}: expected a number from 1")
        super().__init__(file, stretch * most)
        self.stretch, self.around = stretch, tuple(around)

    def _tokens(self, texts: list[str]) -> Iterator[np.ndarray | BadCell]:
        for made in super()._tokens(texts):
            yield made if isinstance(made, BadCell) else self._cut(made)

    def _cut(self, pieces_T3: np.ndarray) -> np.ndarray:
        """Id, start and end of each piece -> per stretch its start, its end, and its ids: (S, 2 + L) int32."""
        runs = np.array_split(pieces_T3, -(-len(pieces_T3) // self.stretch))
        out = np.zeros((len(runs), 4 + max(map(len, runs))), np.int32)
        for row, run in zip(out, runs, strict=True):
            row[:2] = run[0, 1], run[-1, 2]
            row[2 : 4 + len(run)] = 1 + np.array([self.around[0], *run[:, 0], self.around[1]])
        return out

    def fills(self, array: np.ndarray) -> bool:
        """Whether there may be more pieces than were read."""
        around = len(self.around) * len(array)
        return int((array[:, 2:] > 0).sum()) - around >= self.max_tokens

    def blank(self) -> np.ndarray:
        """One stretch of nothing."""
        return np.zeros((1, 3), np.int32)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``ids`` (U, S, L), ``span`` (U, S, 2), ``lengths`` (U,)."""
        widest = max(cell.shape[1] for cell in cells)
        table, lengths = pad([np.pad(cell, ((0, 0), (0, widest - cell.shape[1]))) for cell in cells])
        table = table.astype(np.int64)
        return {"ids": table[..., 2:], "span": table[..., :2], "lengths": lengths}
