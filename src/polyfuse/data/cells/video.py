"""Videos -> some of their pictures as uint8 RGB of one size, with their times: the transform of video columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyfuse.data.cells.clip import About, describe, moments
from polyfuse.data.cells.image import Pixels
from polyfuse.data.cells.source import BadCell, Limits, Media
from polyfuse.data.cells.transform import pad

__all__ = ["Clip", "describe"]

SAMPLE = 32  # training videos of which a picture is looked at
LARGEST = 64  # pixels that "auto" goes up to: sixteen pictures of 64 pixels cost as much as seven of 96
STILL = 128  # of flow, in eighths of a pixel
HEAD = 4  # bytes before the pictures of a kept cell, for each of its times


class Clip:
    """Any video -> (N, H, W, 3) uint8 and (N,) seconds, N evenly spaced moments.

    Args:
        frames: N, the pictures of a video.
        seconds: of the part they are spread over; ``"auto"`` takes the whole of each video. Of a longer video the
            middle is taken.
        picture: keywords of ``image.Pixels``, which every picture goes through.
        spare: moments that are kept for each of the N, an odd number: the middle one is seen, and in training any.

    Raises:
        ValueError: fewer than one frame or moment, no positive length, or keywords that ``Pixels`` refuses.
    """

    media = True
    joint = False
    keyword = "seconds"

    def __init__(
        self,
        frames: int = 8,
        seconds: float | str = "auto",
        picture: Mapping[str, Any] | None = None,
        spare: int = 1,
    ):
        if not isinstance(frames, int) or frames < 1:
            raise ValueError(f"frames={frames!r}: expected 1 or more")
        if not isinstance(spare, int) or spare < 1 or spare % 2 == 0:
            raise ValueError(f"spare={spare!r}: expected an odd number")
        self.spare = spare
        if seconds != "auto" and not (isinstance(seconds, (int, float)) and 0 < seconds < math.inf):
            raise ValueError(f"seconds={seconds!r}: expected a positive number or 'auto'")
        self.frames, self._seconds = frames, None if seconds == "auto" else float(seconds)
        self.pixels = Pixels(**(picture or {}))

    @property
    def photo(self) -> bool:
        """Whether pictures may be mirrored, as photographs may."""
        return self.pixels.photo

    @property
    def window(self) -> str:
        """How much of a video is seen."""
        return "all of it" if self._seconds is None else f"{self._seconds:g} s"

    def fills(self, array: np.ndarray) -> bool:  # noqa: ARG002
        """Whether there may be more than was seen."""
        return self._seconds is not None

    def cuts(self, cell: Media, limits: Limits) -> bool:
        """Whether a video is longer than the part that is seen."""
        about = _about(cell, limits)
        return self._seconds is not None and about is not None and about.seconds > self._seconds + 0.01

    def fit(self, cells: Sequence[Media], columns: Mapping[str, str], limits: Limits) -> None:
        """Choose the size of pictures where it is ``"auto"``, from the middle pictures of some videos."""
        step = max(1, len(cells) // SAMPLE)
        middles = [found for cell in cells[::step] if (found := _middle(cell, limits)) is not None]
        self.pixels.fit(middles, columns, limits)

    def facts(self) -> dict[str, Any]:
        """``image_size``: (height, width)."""
        return self.pixels.facts()

    def state(self) -> dict[str, Any]:
        """Every setting and what was fitted, as JSON; the store of decoded pictures is named by it."""
        spare = {"spare": self.spare} if self.spare > 1 else {}
        return {"frames": self.frames, "seconds": self._seconds, "picture": self.pixels.state(), **spare}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.frames, self._seconds, self.spare = state["frames"], state["seconds"], state.get("spare", 1)
        self.pixels.restore(state["picture"])

    def encode(self, cells: Sequence[Media], limits: Limits) -> list[np.ndarray | BadCell]:
        """(N, 4 + H * W * 3) uint8 per cell, the time in seconds and then the picture, or why it cannot be seen."""
        return [self._encode(cell, limits) for cell in cells]

    def _encode(self, cell: Media, limits: Limits) -> np.ndarray | BadCell:
        try:
            found = self._moments(cell, limits)
            pictures: dict[int, np.ndarray | BadCell] = {}
            for _, picture in found:
                if id(picture) not in pictures:
                    pictures[id(picture)] = self.pixels.encode([picture], limits)[0]
            seen = list[np.ndarray]()
            for _, picture in found:
                pixels = pictures[id(picture)]
                if isinstance(pixels, BadCell):
                    return BadCell(str(pixels))
                seen.append(pixels)
            times = np.array([time for time, _ in found], "<f4")
            return np.concatenate([times.view(np.uint8).reshape(-1, HEAD), np.stack(seen).reshape(len(seen), -1)], 1)
        except BadCell as error:
            return BadCell(str(error))  # a fresh one, whose traceback does not keep the pictures alive

    def _moments(self, cell: Media, limits: Limits) -> list[tuple[float, np.ndarray]]:
        """The wanted pictures and their times."""
        return moments(cell, self._shares(cell, limits).tolist(), limits)

    def _shares(self, cell: Media, limits: Limits) -> np.ndarray:
        """Where the moments lie in the whole video, from 0 to 1: in the middle of equal parts."""
        count = self.frames * self.spare
        shares = (np.arange(count) + 0.5) / count
        if self._seconds is None:
            return shares
        share = min(1.0, self._seconds / max(describe(cell, limits).seconds, 1e-9))
        return 0.5 + share * (shares - 0.5)

    def blank(self) -> np.ndarray:
        """Black pictures at time 0."""
        height, width = self.pixels.size
        return np.zeros((self.frames * self.spare, HEAD + height * width * 3), np.uint8)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``frames`` (U, N, 3, H, W) uint8, ``times`` (U, N) float32 seconds, and ``lengths`` (U,), all of them N."""
        return self._fields([cell[self.spare // 2 :: self.spare] for cell in cells])

    def collate_to_draw(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """As ``collate``, with all moments that are kept (U, N * spare, ...), of which training draws some."""
        return self._fields(cells)

    def _fields(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        kept, lengths = pad(cells)
        times = np.ascontiguousarray(kept[..., :HEAD]).view("<f4")[..., 0]
        pictures = kept[..., HEAD:].reshape(*kept.shape[:2], *self.pixels.size, 3)
        return {"frames": np.ascontiguousarray(pictures.transpose(0, 1, 4, 2, 3)), "times": times, "lengths": lengths}


class Pairs(Clip):
    """Any video -> pairs of pictures, the second soon after the first, for encoders that compare the two.

    Args:
        frames: pairs of a video.
        gap: seconds between the two.
        seconds, picture: as of ``Clip``.

    Raises:
        ValueError: as of ``Clip``, or no positive gap.
    """

    def __init__(
        self,
        frames: int = 8,
        gap: float = 0.07,
        seconds: float | str = "auto",
        picture: Mapping[str, Any] | None = None,
    ):
        super().__init__(frames, seconds, picture)
        if not (isinstance(gap, (int, float)) and 0 < gap < math.inf):
            raise ValueError(f"gap={gap!r}: expected seconds, more than 0")
        self._gap = gap

    def state(self) -> dict[str, Any]:
        """Every setting and what was fitted, as JSON."""
        return {**super().state(), "gap": self._gap}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what ``state()`` described."""
        super().restore(state)
        self._gap = state["gap"]

    def _shares(self, cell: Media, limits: Limits) -> np.ndarray:
        """The two of every pair side by side; close pairs of a short video may overlap, and are put in order."""
        half = self._gap / max(describe(cell, limits).seconds, 1e-9) / 2
        middle_N = super()._shares(cell, limits)
        return np.stack([middle_N - half, middle_N + half], 1).clip(0, 1).flatten()

    def _moments(self, cell: Media, limits: Limits) -> list[tuple[float, np.ndarray]]:
        shares = self._shares(cell, limits)
        order = np.argsort(shares, kind="stable")
        found = moments(cell, shares[order].tolist(), limits)
        return [found[n] for n in np.argsort(order)]

    def blank(self) -> np.ndarray:
        """Black pictures at time 0."""
        return np.repeat(super().blank(), 2, axis=0)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``frames`` (U, N, 6, H, W) uint8, ``times`` (U, N) float32 of the first of two, and ``lengths`` (U,)."""
        fields = super().collate(cells)
        frames = fields["frames"]
        paired = frames.reshape(len(frames), -1, 6, *frames.shape[3:])
        return {"frames": paired, "times": fields["times"][:, ::2], "lengths": fields["lengths"] // 2}


class Flow(Pairs):
    """Any video -> pictures, and beside each the optical flow to one soon after, found once per video.

    Farnebäck, Two-frame motion estimation based on polynomial expansion, SCIA 2003, as OpenCV has it.

    Args:
        frames, gap, seconds, picture: as of ``Pairs``.

    Raises:
        ImportError: OpenCV is not installed.
        ValueError: as of ``Pairs``.
    """

    def __init__(
        self,
        frames: int = 8,
        gap: float = 0.07,
        seconds: float | str = "auto",
        picture: Mapping[str, Any] | None = None,
    ):
        super().__init__(frames, gap, seconds, picture)
        try:
            import cv2  # noqa: F401 - asked for before anything is read
        except ImportError as error:
            raise ImportError("optical flow is found by OpenCV: pip install 'polyfuse[flow]'") from error

    def blank(self) -> np.ndarray:
        """Black pictures at time 0, in which nothing moves."""
        height, width = self.pixels.size
        cell = np.full((self.frames, HEAD + height * width * 5), STILL, np.uint8)
        cell[:, : HEAD + height * width * 3] = 0
        return cell

    def _encode(self, cell: Media, limits: Limits) -> np.ndarray | BadCell:
        """(N, 4 + H * W * 5) uint8: the time, the picture, and how far each place moves to the right and down."""
        made = super()._encode(cell, limits)
        if isinstance(made, BadCell):
            return made
        shown = made[:, HEAD:].reshape(-1, 2, *self.pixels.size, 3)
        moved = np.stack([farneback(*pair) for pair in shown])
        return np.concatenate([made[::2], moved.reshape(len(moved), -1)], 1)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``frames`` (U, N, 3, H, W) and ``motion`` (U, N, 2, H, W) uint8, ``times`` (U, N), ``lengths`` (U,)."""
        kept, lengths = pad(cells)
        (height, width), ends = self.pixels.size, kept.shape[-1]
        times = np.ascontiguousarray(kept[..., :HEAD]).view("<f4")[..., 0]
        split = HEAD + height * width * 3
        parts = [(kept[..., HEAD:split], 3), (kept[..., split:ends], 2)]
        frames, motion = (
            np.ascontiguousarray(part.reshape(*kept.shape[:2], height, width, count).transpose(0, 1, 4, 2, 3))
            for part, count in parts
        )
        return {"frames": frames, "motion": motion, "times": times, "lengths": lengths}


def farneback(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Pixels that each place moves by, to the right and down, in eighths around 128: two (H, W, 3) -> (H, W, 2)."""
    import cv2

    grey = [cv2.cvtColor(np.ascontiguousarray(side), cv2.COLOR_RGB2GRAY) for side in (before, after)]
    moved = cv2.calcOpticalFlowFarneback(*grey, None, 0.5, 3, 15, 3, 5, 1.2, 0)  # type: ignore[call-overload]
    return np.rint(moved * 8 + STILL).clip(0, 255).astype(np.uint8)


def _about(cell: Media, limits: Limits) -> About | None:
    try:
        return describe(cell, limits)
    except BadCell:
        return None


def _middle(cell: Media, limits: Limits) -> np.ndarray | None:
    try:
        return moments(cell, [0.5], limits)[0][1]
    except BadCell:
        return None
