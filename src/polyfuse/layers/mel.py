"""Log-mel spectrograms of batches of sounds, on the sounds' own device, without torchaudio or librosa.

``LogMel`` is for encoders trained from scratch; ``WhisperMel`` and ``KaldiMel`` give what the checkpoints of Whisper
(Radford et al., ICML 2023) and of AST (Gong et al., Interspeech 2021) were trained on. Frames come from the real
samples of each sound alone, so padding a batch changes none of them. Mel scales: Slaney, Auditory Toolbox, 1998, and
Povey et al., The Kaldi speech recognition toolkit, ASRU 2011.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.data.cells.spectrogram import slaney_filters, triangles
from polyfuse.layers.positions import length_mask


def kaldi_filters(bins: int, fft: int, rate: int, *, low: float = 20.0, high: float | None = None) -> np.ndarray:
    """Triangles of height one, drawn on the mel axis: (fft // 2 + 1, bins)."""
    low_mel, high_mel, fft_mel = (
        1127 * np.log1p(np.asarray(hz) / 700) for hz in (low, high or rate / 2, np.arange(fft // 2 + 1) * rate / fft)
    )
    return triangles(fft_mel, np.linspace(low_mel, high_mel, bins + 2))


class _Mel(nn.Module):
    """Frames of samples -> energy per mel filter, in full precision whatever autocast says."""

    window: Tensor
    filters: Tensor

    def __init__(self, window: Tensor, filters: np.ndarray, *, hop: int):
        super().__init__()
        self.hop, self.fft = hop, 2 * (len(filters) - 1)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", torch.tensor(filters, dtype=torch.float32), persistent=False)

    def _cut(self, wave_US: Tensor, count: int, *, before: int) -> Tensor:
        """``count`` overlapping frames, the first one ``before`` samples ahead: (U, S) -> (U, N, samples)."""
        width = len(self.window)
        behind = (count - 1) * self.hop + width - before - wave_US.shape[1]
        return F.pad(wave_US, (before, behind)).unfold(-1, width, self.hop)

    def _power(self, frames_UNS: Tensor) -> Tensor:
        """(U, N, samples) -> power per frequency (U, N, fft // 2 + 1)."""
        spectrum = torch.fft.rfft(frames_UNS.float() * self.window, n=self.fft)
        return spectrum.real.square() + spectrum.imag.square()

    def _energy(self, frames_UNS: Tensor) -> Tensor:
        """(U, N, samples) -> (U, N, F)."""
        with torch.autocast(frames_UNS.device.type, enabled=False):  # half precision ruins quiet bins
            return self._power(frames_UNS) @ self.filters


class LogMel(_Mel):
    """Log-mel frames of 25 ms, 10 ms apart, brought to mean 0 and deviation 1 over each sound.

    Args:
        rate: samples per second.
        bins: mel filters, F.
        spare: frames of padding behind the longest sound, at least 1. With as many as the frames that one token of
            an encoder covers, no batch has a single token, a case that exported programs would have to know.

    Attributes:
        seconds: from one frame to the next.
    """

    FLOOR = 1e-7  # of energy: silence on 16-bit recordings

    def __init__(self, *, rate: int, bins: int = 48, spare: int = 1):
        hop, width = max(1, round(rate * 0.01)), max(16, round(rate * 0.025))
        fft = 1 << (width - 1).bit_length()
        while (slaney_filters(bins, fft, rate).max(0) == 0).any():  # a filter that hears nothing
            fft *= 2
        super().__init__(torch.hann_window(width), slaney_filters(bins, fft, rate), hop=hop)
        self.spare, self.seconds = spare, hop / rate

    def forward(self, wave_US: Tensor, lengths_U: Tensor) -> tuple[Tensor, Tensor]:
        """Frame n is centred on sample ``n * hop``.

        Shapes: (U, S), (U,) -> (U, N, F) and its mask (U, N); at least one frame per sound is real.
        """
        wave_US = wave_US * length_mask(lengths_U, wave_US.shape[1])
        count = (wave_US.shape[1] + self.hop - 1) // self.hop + self.spare
        energy_UNF = self._energy(self._cut(wave_US, count, before=len(self.window) // 2))
        real_U = ((lengths_U + self.hop - 1) // self.hop).clamp_min(1)
        mask_UN = length_mask(real_U, count)
        return _standardize(energy_UNF.clamp_min(self.FLOOR).log(), mask_UN), mask_UN


class Spectra(_Mel):
    """What statistics of a sound are taken from: its frames, their power spectrum, and log-mel energy at its own level.

    Frames are those of ``LogMel``. The spectrum is padded to twice a frame, so that its inverse is the autocorrelation.

    Args:
        rate: samples per second.
        bins: mel filters, F.
    """

    FLOOR, SPARE = LogMel.FLOOR, 4  # frames of padding: second differences of the shortest batch are several, too

    def __init__(self, *, rate: int, bins: int):
        hop, width = max(1, round(rate * 0.01)), max(16, round(rate * 0.025))
        fft = 1 << (2 * width - 1).bit_length()
        while (slaney_filters(bins, fft, rate).max(0) == 0).any():  # a filter that hears nothing
            fft *= 2
        super().__init__(torch.hann_window(width), slaney_filters(bins, fft, rate), hop=hop)

    def forward(self, wave_US: Tensor, lengths_U: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Call it where autocast is off.

        Shapes: (U, S), (U,) -> samples (U, N, width), power (U, N, fft // 2 + 1), log-mel (U, N, F), mask (U, N).
        """
        wave_US = wave_US.float() * length_mask(lengths_U, wave_US.shape[1])
        count = (wave_US.shape[1] + self.hop - 1) // self.hop + self.SPARE
        frames_UNS = self._cut(wave_US, count, before=len(self.window) // 2)
        power_UNB = self._power(frames_UNS)
        real_U = ((lengths_U + self.hop - 1) // self.hop).clamp_min(1)
        log_UNF = (power_UNB @ self.filters).clamp_min(self.FLOOR).log()
        return frames_UNS, power_UNB, log_UNF, length_mask(real_U, count)


def _standardize(x_UNF: Tensor, mask_UN: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over the real frames of each sound, and 0 elsewhere."""
    mask_UN1 = mask_UN[..., None]
    values_U = mask_UN.sum(1) * x_UNF.shape[-1]
    mean_U = (x_UNF * mask_UN1).sum((1, 2)) / values_U
    x_UNF = (x_UNF - mean_U[:, None, None]) * mask_UN1
    variance_U = x_UNF.square().sum((1, 2)) / values_U
    return x_UNF * (variance_U + 1e-3).rsqrt()[:, None, None]


class WhisperMel(_Mel):
    """What Whisper's feature extractor gives, without padding every sound to 30 seconds.

    Args:
        bins: mel filters, F.
        rate: samples per second.
        fft: samples per frame.
        hop: samples from one frame to the next.
        seconds: the length that the extractor pads to.
    """

    SILENCE = 1e-10

    def __init__(self, *, bins: int = 80, rate: int = 16000, fft: int = 400, hop: int = 160, seconds: int = 30):
        super().__init__(torch.hann_window(fft), slaney_filters(bins, fft, rate, high=8000.0), hop=hop)
        self.samples = rate * seconds

    def forward(self, wave_US: Tensor, lengths_U: Tensor) -> tuple[Tensor, Tensor]:
        """Two frames of silence follow the longest sound, which the convolutions of an encoder look at.

        Shapes: (U, S), (U,) -> (U, N, F) and its mask (U, N), N = ceil(S / hop) + 2. Frames behind ``seconds`` are 0.
        """
        count, limit = (wave_US.shape[1] + self.hop - 1) // self.hop + 2, self.samples // self.hop
        wave_US = self._mirrored(wave_US * length_mask(lengths_U, wave_US.shape[1]), count)
        energy_UNF = self._energy(wave_US.unfold(-1, self.fft, self.hop))
        exists_N1 = torch.arange(count, device=wave_US.device)[:, None] < limit
        log_UNF = torch.where(exists_N1, energy_UNF, 0.0).clamp_min(self.SILENCE).log10()
        log_UNF = torch.maximum(log_UNF, log_UNF.amax((1, 2), keepdim=True) - 8)
        real_U = ((lengths_U + self.hop - 1) // self.hop).clamp(1, limit)
        return (log_UNF + 4) / 4 * exists_N1, length_mask(real_U, count)

    def _mirrored(self, wave_US: Tensor, count: int) -> Tensor:
        """Silence behind each sound, and the samples around both ends of ``self.samples`` mirrored, as STFT does."""
        wave_US = F.pad(wave_US, (0, 2 * (self.fft + self.hop)))
        place = torch.arange((count - 1) * self.hop + self.fft, device=wave_US.device) - self.fft // 2
        place, last = place.abs(), self.samples - 1
        return wave_US[:, torch.where(place <= last, place, 2 * last - place)]


class KaldiMel(_Mel):
    """Kaldi's filter-bank features, as the feature extractor of AST computes them.

    Args:
        bins: mel filters, F.
        rate: samples per second; frames are 400 samples wide and 160 apart.
    """

    FLOOR = 1.192092955078125e-07

    def __init__(self, *, bins: int = 128, rate: int = 16000):
        super().__init__(torch.hann_window(400, periodic=False), kaldi_filters(bins, 512, rate), hop=160)

    def forward(self, wave_US: Tensor, lengths_U: Tensor) -> tuple[Tensor, Tensor]:
        """Only frames that lie within the sound count; a sound shorter than one is extended by silence.

        Shapes: (U, S), (U,) -> (U, N, F), 0 where not real, and its mask (U, N).
        """
        wave_US = wave_US * length_mask(lengths_U, wave_US.shape[1])
        frames_UNS = self._cut(wave_US, (wave_US.shape[1] + self.hop - 1) // self.hop + 1, before=0)
        frames_UNS = frames_UNS - frames_UNS.mean(-1, keepdim=True)
        earlier_UNS = torch.cat([frames_UNS[..., :1], frames_UNS[..., :-1]], -1)
        energy_UNF = self._energy(frames_UNS - 0.97 * earlier_UNS)
        real_U = ((lengths_U - len(self.window)).clamp_min(0) // self.hop) + 1
        mask_UN = length_mask(real_U, frames_UNS.shape[1])
        return energy_UNF.clamp_min(self.FLOOR).log() * mask_UN[..., None], mask_UN


def mask_band(x_UNF: Tensor, mask_UN: Tensor, fraction: float) -> Tensor:
    """Silence one random band of frequencies and one random stretch of each sound (Park et al., Interspeech 2019).

    Args:
        fraction: the most of its frequencies and of its real frames that a sound may lose.

    Shapes: (U, N, F), (U, N) -> (U, N, F).
    """
    frequencies = _outside_band(x_UNF.new_full(x_UNF.shape[:1], x_UNF.shape[2]), x_UNF.shape[2], fraction)
    frames = _outside_band(mask_UN.sum(1).to(x_UNF.dtype), x_UNF.shape[1], fraction)
    return x_UNF * (frequencies[:, None] & frames[..., None])


def _outside_band(lengths_U: Tensor, count: int, fraction: float) -> Tensor:
    """False on a random band of up to ``fraction`` of the first ``lengths_U`` of ``count`` places: (U, count)."""
    width_U1 = (torch.rand_like(lengths_U) * fraction * lengths_U)[:, None]
    start_U1 = torch.rand_like(width_U1) * (lengths_U[:, None] - width_U1)
    place_1N = torch.arange(count, device=lengths_U.device)[None]
    return (place_1N < start_U1) | (place_1N >= start_U1 + width_U1)
