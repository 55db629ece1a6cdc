"""Target transform of speech outputs: sounds as log-mel frames, each filter standardised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from polyfuse.data.cells.audio import FULL, Wave
from polyfuse.data.cells.source import BadCell, Limits, Media
from polyfuse.data.cells.spectrogram import Mel
from polyfuse.data.cells.transform import pad

LONGEST = 5.0  # seconds that "auto" goes up to
HOP = 0.016  # seconds from one frame to the next
RATES = (8000, 16000)
FLATTEST = 0.1  # deviation that a filter is divided by at least: one that hears nothing stays at 0


class Audio:
    """Sounds as samples, and as frames in a batch (``target.audio``).

    Fields ``frames`` (U, N, F) float32, 0 behind each sound's end, and ``lengths`` (U,) int64, in frames.

    Args:
        rate: 8,000 or 16,000 samples per second, or whatever a vocoder makes; ``auto`` is the nearer to the rate that
            most training sounds have.
        seconds: what is kept of longer sounds; ``auto`` keeps 99 % of the training sounds whole, up to 5.
        bins: mel filters, F; ``auto`` is 64 below 16 kHz and 80 from there on.
        hop: samples from one frame to the next; ``auto`` is 16 ms.
        floor: energy of a filter below which all is silence.

    Raises:
        ValueError: a rate, length or number that cannot be.
    """

    media, joint = True, False

    def __init__(
        self,
        rate: int | str = "auto",
        seconds: float | str = "auto",
        bins: int | str = "auto",
        hop: int | str = "auto",
        floor: float = 1e-5,
    ):
        for name, value, least, most in (("bins", bins, 8, 256), ("hop", hop, 16, 4096), ("rate", rate, 4000, 48000)):
            if value != "auto" and not (isinstance(value, int) and least <= value <= most):
                raise ValueError(f"{name}: expected auto or a whole number from {least} to {most}, found {value!r}")
        self._auto = rate == "auto"
        self.sound = Wave(rate, seconds, longest=LONGEST)
        self._bins, self._hop, self._floor = bins, hop, floor
        self.mel = Mel(RATES[0])
        self.mean_F, self.deviation_F = np.zeros(self.mel.bins, np.float32), np.ones(self.mel.bins, np.float32)
        self.notes: list[str] = []

    def fit(self, cells: Sequence[Media], columns: Mapping[str, str], limits: Limits) -> None:
        """Choose rate and length, and learn how loud each filter is.

        Raises:
            ValueError: no training sound can be heard.
        """
        name = next(iter(columns))
        self.sound.fit(cells, columns, limits)
        if self._auto:
            rate = RATES[0] if self.sound.rate < sum(RATES) / 2 else RATES[1]
            self.sound = Wave(rate, self.sound.seconds, longest=LONGEST)
            self.sound.fit(cells, columns, limits)
        rate = self.sound.rate
        bins = int(self._bins) if self._bins != "auto" else 80 if rate >= RATES[1] else 64
        hop = round(HOP * rate) if self._hop == "auto" else int(self._hop)
        self.mel = Mel(rate, bins, hop, self._floor)
        heard = [wave for wave in self.sound.encode(cells, limits) if not isinstance(wave, BadCell)]
        if not heard:
            first = next((str(bad) for bad in self.sound.encode(cells[:1], limits) if isinstance(bad, BadCell)), "none")
            raise ValueError(f"output {name!r}: no training sound can be heard; the first: {first}. Correct the cells")
        frames_NF = np.concatenate([self.mel.log_mel(wave / np.float32(FULL)) for wave in heard])
        self.mean_F = frames_NF.mean(0).round(6)  # as JSON keeps it
        self.deviation_F = np.maximum(frames_NF.std(0), FLATTEST).round(6)
        self.notes = [
            f"output {name!r} is made as sounds at {rate:,} Hz of up to {self.sound.window}, in {bins} mel filters"
        ]
        if self.sound.cropped:
            self.notes.append(
                f"output {name!r}: {self.sound.cropped:.0%} of the training sounds are longer than {self.sound.window} "
                f"and only their beginning is learnt; raise outputs.{name}.head.seconds to learn more"
            )
        if len(heard) > 1 and all(np.array_equal(one, heard[0]) for one in heard):
            self.notes.append(f"output {name!r}: every training sound is the same, so that nothing else can be learnt")

    @property
    def longest(self) -> int:
        """Frames of a sound at most."""
        return self.mel.frames(round(self.sound.seconds * self.sound.rate))

    def facts(self) -> dict[str, Any]:
        """``mel``: how frames are made, as JSON; ``mean`` and ``deviation`` of each filter; ``longest`` in frames."""
        return {
            "mel": asdict(self.mel),
            "mean": [round(float(value), 6) for value in self.mean_F],
            "deviation": [round(float(value), 6) for value in self.deviation_F],
            "longest": self.longest,
        }

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {**self.facts(), "sound": self.sound.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.sound.restore(state["sound"])
        self.mel = Mel(**state["mel"])
        self.mean_F = np.array(state["mean"], np.float32)
        self.deviation_F = np.array(state["deviation"], np.float32)

    def encode(self, cells: Sequence[Media], limits: Limits) -> list[np.ndarray | BadCell]:
        """(S,) int16 per cell, or why it cannot be decoded."""
        return self.sound.encode(cells, limits)

    def decode(self, cells: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """Arrays back to sounds: ``{"array": samples, "sampling_rate": Hz}``."""
        return [{"array": cell / np.float32(FULL), "sampling_rate": self.mel.rate} for cell in cells]

    def blank(self) -> np.ndarray:
        """A moment of silence."""
        return np.zeros(self.mel.hop, np.int16)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``frames`` (U, N, F) and ``lengths`` (U,)."""
        made = [(self.mel.log_mel(cell / np.float32(FULL)) - self.mean_F) / self.deviation_F for cell in cells]
        frames, lengths = pad(made)
        return {"frames": frames, "lengths": lengths}
