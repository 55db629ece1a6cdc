"""Log-mel spectrograms of generated sounds, and their inversion (Griffin and Lim, 1984), without torch.

Frames, filters and logarithm are those of SpeechT5's feature extractor at 16 kHz (Ao et al., ACL 2022), so that its
vocoder hears what it was trained on. Sharper steps of the way back: Perraudin et al., A Fast Griffin-Lim Algorithm,
WASPAA 2013. Mel scale: Slaney, Auditory Toolbox, 1998.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

LINEAR_END, LINEAR_STEP, LOG_STEP = 1000.0, 200.0 / 3, np.log(6.4) / 27  # of Slaney's scale, in Hz
MOMENTUM = 0.99  # of fast Griffin-Lim
UNMIXED = 30  # steps in which filters become frequencies again


def slaney_filters(bins: int, fft: int, rate: int, *, low: float = 0.0, high: float | None = None) -> np.ndarray:
    """Triangles of equal area, linear below 1 kHz and logarithmic above: (fft // 2 + 1, bins)."""
    edges = np.linspace(_slaney_mel(low), _slaney_mel(high or rate / 2), bins + 2)
    edges_hz = np.where(
        edges < LINEAR_END / LINEAR_STEP,
        edges * LINEAR_STEP,
        LINEAR_END * np.exp(LOG_STEP * (edges - LINEAR_END / LINEAR_STEP)),
    )
    return triangles(np.linspace(0, rate / 2, fft // 2 + 1), edges_hz) * (2 / (edges_hz[2:] - edges_hz[:-2]))


def _slaney_mel(hz: float) -> float:
    return hz / LINEAR_STEP if hz < LINEAR_END else LINEAR_END / LINEAR_STEP + np.log(hz / LINEAR_END) / LOG_STEP


def triangles(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Height at each point of the triangle over each three neighbouring edges: (points, edges - 2)."""
    rise = (points[:, None] - edges[None, :-2]) / np.diff(edges)[:-1]
    fall = (edges[None, 2:] - points[:, None]) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rise, fall))


@dataclass(frozen=True)
class Mel:
    """How sounds become log-mel frames, base 10, and frames sounds.

    Args:
        rate: samples per second.
        bins: mel filters, F.
        hop: samples from one frame to the next; a frame is four times as long.
        floor: energy below which all is silence.
    """

    rate: int
    bins: int = 80
    hop: int = 256
    floor: float = 1e-5

    @property
    def fft(self) -> int:
        """Samples of a frame."""
        return 4 * self.hop

    @cached_property
    def window_S(self) -> np.ndarray:
        """Hann's, periodic."""
        return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.fft) / self.fft)).astype(np.float32)

    @cached_property
    def filters_BF(self) -> np.ndarray:
        """Frequencies -> mel filters."""
        high = min(7600.0, 0.475 * self.rate)
        return slaney_filters(self.bins, self.fft, self.rate, low=80.0, high=high).astype(np.float32)

    def _sizes(self, mel_NF: np.ndarray) -> np.ndarray:
        """Energies of filters -> sizes of frequencies (N, fft // 2 + 1), in least squares where none is below 0.

        Lee and Seung, Algorithms for Non-negative Matrix Factorization, NeurIPS 2000.
        """
        filters = self.filters_BF
        asked_NB = mel_NF @ filters.T
        size_NB = asked_NB / np.maximum(filters.sum(1) * filters.sum(0).max(), 1e-12)
        for _ in range(UNMIXED):
            size_NB *= asked_NB / np.maximum((size_NB @ filters) @ filters.T, 1e-12)
        return size_NB

    def frames(self, samples: int) -> int:
        """Number of frames of so many samples."""
        return 1 + samples // self.hop

    def log_mel(self, wave_S: np.ndarray) -> np.ndarray:
        """Samples from -1 to 1 -> (N, F) float32, frames centred on every ``hop`` samples."""
        size_NB = np.abs(self._spectrum(wave_S.astype(np.float32)))
        return np.log10(np.maximum(size_NB @ self.filters_BF, self.floor))

    def wave(self, log_NF: np.ndarray, *, rounds: int = 32, seed: int = 0) -> np.ndarray:
        """Samples (S,) float32 whose log-mel frames are these, by Griffin and Lim.

        Args:
            log_NF: log-mel frames.
            rounds: of making the phases agree.
            seed: of the phases begun with.
        """
        size_NB = self._sizes(10.0 ** log_NF.astype(np.float32))
        phase = np.exp(2j * np.pi * np.random.default_rng(seed).random(size_NB.shape, np.float32)).astype(np.complex64)
        before = np.zeros_like(phase)
        for _ in range(rounds):
            again = self._spectrum(self._overlap_add(size_NB * phase))
            ahead = again + MOMENTUM * (again - before)
            phase, before = ahead / np.maximum(np.abs(ahead), 1e-12), again
        return self._overlap_add(size_NB * phase)

    def _spectrum(self, wave_S: np.ndarray) -> np.ndarray:
        """(S,) -> (N, fft // 2 + 1) complex; the ends are mirrored as far as there are samples."""
        half = self.fft // 2
        padded = np.pad(wave_S, half, mode="reflect" if len(wave_S) > half else "constant")
        frames_NS = np.lib.stride_tricks.sliding_window_view(padded, self.fft)[:: self.hop]
        return np.fft.rfft(frames_NS * self.window_S).astype(np.complex64)

    def _overlap_add(self, spectrum_NB: np.ndarray) -> np.ndarray:
        """Frames laid over each other, weighted by the window: (N, fft // 2 + 1) -> (S,), S = hop (N - 1)."""
        frames_NS = np.fft.irfft(spectrum_NB, n=self.fft).astype(np.float32) * self.window_S
        count, parts = len(frames_NS), self.fft // self.hop
        total_NS = np.zeros((count + parts - 1, self.hop), np.float32)
        weight_NS = np.zeros_like(total_NS)
        square = (self.window_S**2).reshape(parts, self.hop)
        for part in range(parts):
            total_NS[part : part + count] += frames_NS.reshape(count, parts, self.hop)[:, part]
            weight_NS[part : part + count] += square[part]
        wave = (total_NS / np.maximum(weight_NS, 1e-8)).ravel()
        start = self.fft // 2
        return wave[start : start + max(1, self.hop * (count - 1))]
