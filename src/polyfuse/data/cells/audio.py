"""Sounds -> mono 16-bit samples at one rate: the transform of audio columns. Spectrograms are the encoder's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import soxr

from polyfuse.data.cells.sound import Reader, describe, open_sound
from polyfuse.data.cells.source import BadCell, Limits, Media, NothingHere
from polyfuse.data.cells.transform import pad

__all__ = ["Wave", "describe"]

LOWEST, HIGHEST = 8000, 16000  # Hz that "auto" chooses from
LONGEST = 10.0  # seconds that "auto" goes up to, unless told otherwise
EDGE = 0.05  # seconds read beyond the window, so that the resampler does not see it end
FULL = 32768  # 16-bit samples per 1.0


class Wave:
    """Any sound -> (S,) int16, mono.

    Args:
        rate: samples per second; ``"auto"`` takes the most common rate of the training sounds, within 8 and 16 kHz,
            where speech is.
        seconds: what is kept of longer sounds; ``"auto"`` keeps 99 % of the training sounds whole, rounded up to
            0.1 s and at most ``longest``. Shorter sounds stay short: nothing is padded before a batch is made.
        crop: which part of a longer sound is kept, its ``"start"`` or ``"centre"``.
        longest: seconds that ``"auto"`` goes up to.

    Attributes:
        cropped: share of the training sounds that are longer than the window (set by ``fit``).

    Raises:
        ValueError: a rate or length that is not positive, or an unknown crop.
    """

    media = True
    joint = False
    keyword = "seconds"

    def __init__(
        self, rate: int | str = "auto", seconds: float | str = "auto", crop: str = "start", longest: float = LONGEST
    ):
        for name, value in (("rate", rate), ("seconds", seconds), ("longest", longest)):
            if value != "auto" and not (isinstance(value, (int, float)) and 0 < value < math.inf):
                raise ValueError(f"{name}={value!r}: expected a positive number or 'auto'")
        if crop not in ("start", "centre"):
            raise ValueError(f"unknown crop {crop!r}; expected start or centre")
        self._rate = None if rate == "auto" else int(rate)
        self._seconds = None if seconds == "auto" else float(seconds)
        self._crop, self._longest = crop, longest
        self.cropped = 0.0

    @property
    def rate(self) -> int:
        """Samples per second of every sound."""
        if self._rate is None:
            raise RuntimeError("rate='auto' is known after fit()")
        return self._rate

    @property
    def seconds(self) -> float:
        """The longest that a sound may be."""
        if self._seconds is None:
            raise RuntimeError("seconds='auto' is known after fit()")
        return self._seconds

    def fit(self, cells: Sequence[Media], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Choose rate and length where they are ``"auto"``."""
        seen = [about for cell in cells if (about := _describe(cell, limits)) is not None]
        lengths = np.array([about[0] for about in seen] or [1.0])
        if self._rate is None:
            common = Counter(about[1] for about in seen).most_common(1)
            self._rate = int(np.clip(common[0][0], LOWEST, HIGHEST)) if common else HIGHEST
        if self._seconds is None:
            tenths = math.ceil(10 * float(np.percentile(lengths, 99)) - 1e-6)
            self._seconds = min(self._longest, max(1, tenths) / 10)
        self.cropped = float(np.mean(lengths > self._seconds))

    @property
    def window(self) -> str:
        """The length that is read of a sound, in words."""
        return f"{self.seconds:g} s"

    def fills(self, array: np.ndarray) -> bool:
        """Whether a sound is as long as is read, so that it may have been longer."""
        return len(array) >= round(self.seconds * self.rate)

    def cuts(self, cell: Media, limits: Limits) -> bool:
        """Whether a sound is longer, by more than a hundredth of a second, than is read."""
        about = _describe(cell, limits)
        return about is not None and about[0] > self.seconds + 0.01

    def facts(self) -> dict[str, Any]:
        """``rate`` in Hz."""
        return {"rate": self.rate}

    def state(self) -> dict[str, Any]:
        """Every setting and what was fitted, as JSON; the store of decoded sounds is named by it."""
        return {"rate": self.rate, "seconds": self.seconds, "crop": self._crop, "cropped": self.cropped}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what ``state()`` described."""
        self._rate, self._seconds = state["rate"], state["seconds"]
        self._crop, self.cropped = state["crop"], state["cropped"]

    def encode(self, cells: Sequence[Media], limits: Limits) -> list[np.ndarray | BadCell]:
        """(S,) int16 per cell, or why it cannot be decoded."""
        return [self._encode(cell, limits) for cell in cells]

    def _encode(self, cell: Media, limits: Limits) -> np.ndarray | BadCell:
        try:
            with open_sound(cell, limits) as sound:
                samples = _to_int16(self._window(sound))
                if sound.film and not samples.any():  # cameras without a microphone write a track all the same
                    return NothingHere("a sound track of digital silence")
                return samples
        except BadCell as error:
            return type(error)(str(error))  # a fresh one, whose traceback does not keep the samples alive

    def _window(self, sound: Reader) -> np.ndarray:
        """The wanted part, mono, at the wanted rate."""
        count = math.ceil(self.seconds * sound.rate)
        start = max(0, round(sound.seconds * sound.rate) - count) // 2 if self._crop == "centre" else 0
        margin = 0 if sound.rate == self.rate else math.ceil(EDGE * sound.rate)
        before = min(start, margin)
        samples = sound.read(start - before, before + count + margin).mean(1)
        if sound.rate != self.rate:
            samples = soxr.resample(samples, sound.rate, self.rate)
        skip = round(before * self.rate / sound.rate)
        return samples[skip : skip + max(1, round(self.seconds * self.rate))]

    def blank(self) -> np.ndarray:
        """A tenth of a second of silence."""
        return np.zeros(max(1, self.rate // 10), dtype=np.int16)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``wave`` (U, S) float32 from -1 to 1, silence behind each sound's end, and ``lengths`` (U,)."""
        samples, lengths = pad(cells)
        return {"wave": samples * np.float32(1 / FULL), "lengths": lengths}


def _describe(cell: Media, limits: Limits) -> tuple[float, int, int] | None:
    try:
        return describe(cell, limits)
    except BadCell:
        return None


def _to_int16(samples: np.ndarray) -> np.ndarray:
    """-1 to 1 -> int16. What is louder than full scale is scaled down as a whole: clipping would distort it."""
    if not len(samples):
        raise BadCell("the sound is shorter than one sample")
    peak = float(np.abs(samples).max())
    if not math.isfinite(peak):
        raise BadCell("the sound holds samples that are NaN or infinite")
    return np.clip(np.rint(samples * (FULL / max(1.0, peak))), -FULL, FULL - 1).astype(np.int16)
