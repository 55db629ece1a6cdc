"""Target transform of image outputs: pictures of one size, in grey or in colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyfuse.data.cells.image import Pixels
from polyfuse.data.cells.picture import describe
from polyfuse.data.cells.source import BadCell, Limits, Media

SMALLEST, LARGEST, STEP = 8, 64, 4  # sides in pixels
TWICE = 32  # side from which it is a multiple of twice the step
MODES = ("auto", "grey", "colour")
ALIKE = 8  # of 255 levels by which the colours of a pixel differ in a grey picture, after lossy compression
GREY = (0.299, 0.587, 0.114)  # shares of red, green and blue (ITU-R BT.601)


class Image:
    """Pictures as bytes (``target.image``).

    Field ``pixels`` (U, C, H, W) uint8, C being 1 in grey and 3 in colour.

    Args:
        size: side or (height, width) in pixels, from 8 to 64 and multiples of 4, of 8 from 32 on; ``auto`` is the
            median shorter side of the training pictures within these.
        mode: ``grey``, ``colour``, or ``auto``: grey where all training pictures are.
        fit: how a picture comes into the frame: ``squash``, ``crop`` or ``pad`` (see ``data.cells.image``).

    Raises:
        ValueError: no such size, mode or fit.
    """

    media, joint = True, False

    def __init__(self, size: int | Sequence[int] | str = "auto", mode: str = "auto", fit: str = "squash"):
        if mode not in MODES:
            raise ValueError(f"mode: expected {', '.join(MODES)}, found {mode!r}")
        self.mode, self._fit, self.channels = mode, fit, 1 if mode == "grey" else 3
        self.pixels = Pixels(LARGEST if size == "auto" else size, fit)
        self._auto, self.notes = size == "auto", list[str]()
        if wrong := [side for side in self.pixels.size if side != _nearest_side(side)]:
            raise ValueError(
                f"size: {wrong[0]} pixels cannot be made; expected {SMALLEST} to {LARGEST}, a multiple of {STEP}, and "
                f"of {2 * STEP} from {TWICE} on, such as {_nearest_side(wrong[0])}"
            )

    def fit(self, cells: Sequence[Media], columns: Mapping[str, str], limits: Limits) -> None:
        """Choose the size and whether pictures are grey, where they are ``auto``.

        Raises:
            ValueError: no training picture can be read.
        """
        name = next(iter(columns))
        sizes = [size for cell in cells if (size := _size(cell, limits)) is not None]
        if not sizes:
            first = next(
                (str(bad) for bad in self.pixels.encode(cells[:1], limits) if isinstance(bad, BadCell)), "none"
            )
            raise ValueError(f"output {name!r}: no training picture can be read; the first: {first}. Correct the cells")
        side = float(np.median([min(size) for size in sizes]))
        if self._auto:
            self.pixels = Pixels(_nearest_side(side), self._fit)
        self.pixels.fit(cells, columns, limits)
        seen = [one for one in self.pixels.encode(cells, limits) if not isinstance(one, BadCell)]
        if self.mode == "auto" and seen:
            self.channels = 1 if all(int(np.ptp(one.astype(np.int16), axis=-1).max()) <= ALIKE for one in seen) else 3
        height, width = self.pixels.size
        kind = "grey" if self.channels == 1 else "colour"
        self.notes = [*self.pixels.notes, f"output {name!r} is made as pictures of {height} x {width} pixels in {kind}"]
        if side > max(height, width):
            self.notes.append(
                f"output {name!r}: training pictures, {side:,.0f} pixels on their shorter side in the middle, are "
                f"learnt at {height} x {width}; {LARGEST} is the most (outputs.{name}.head.size)"
            )
        if len(seen) > 1 and all(np.array_equal(one, seen[0]) for one in seen):
            self.notes.append(
                f"output {name!r}: every training picture is the same, so that nothing else can be learnt"
            )

    def facts(self) -> dict[str, Any]:
        """``image_size``: (height, width), and ``channels``."""
        return {"image_size": self.pixels.size, "channels": self.channels}

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {"pixels": self.pixels.state(), "channels": self.channels}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.pixels.restore(state["pixels"])
        self.channels = state["channels"]

    def encode(self, cells: Sequence[Media], limits: Limits) -> list[np.ndarray | BadCell]:
        """(H, W, C) uint8 per cell, or why it cannot be decoded."""
        return [one if isinstance(one, BadCell) else self._coloured(one) for one in self.pixels.encode(cells, limits)]

    def _coloured(self, pixels_HW3: np.ndarray) -> np.ndarray:
        if self.channels == 3:
            return pixels_HW3
        return (pixels_HW3 @ np.array(GREY)).round().astype(np.uint8)[..., None]

    def decode(self, cells: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Arrays back to pictures: (H, W) in grey, (H, W, 3) in colour."""
        return [np.asarray(cell[..., 0] if self.channels == 1 else cell) for cell in cells]

    def blank(self) -> np.ndarray:
        """A black picture."""
        return np.zeros((*self.pixels.size, self.channels), np.uint8)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``pixels`` (U, C, H, W) uint8."""
        return {"pixels": np.ascontiguousarray(np.stack(cells).transpose(0, 3, 1, 2))}


def _nearest_side(side: float) -> int:
    """The nearest side that can be made."""
    step = STEP if side < TWICE - STEP / 2 else 2 * STEP
    return int(np.clip(step * np.floor(side / step + 0.5), SMALLEST, LARGEST))


def _size(cell: Media, limits: Limits) -> tuple[int, int] | None:
    try:
        return describe(cell, limits)[:2]
    except BadCell:
        return None
