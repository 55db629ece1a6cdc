"""A sound as one vector of fixed statistics: what strong baselines on a few hundred clips are made of, nothing learnt.

Mel cepstra: Davis and Mermelstein, IEEE Transactions on Acoustics, Speech and Signal Processing 1980. Shape of the
spectrum: Peeters, A large set of audio features, CUIDADO report, 2004. Pitch: Boersma, Accurate short-term analysis
of the fundamental frequency, IFA Proceedings 1993. Modulation spectrum: Hermansky, Speech Communication 1998.
"""

# ruff: noqa: ARG002 - some keywords are for wants() alone

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.encoders.audio.frontend import wave_spec
from polyfuse.layers.mel import Spectra
from polyfuse.layers.moments import correlations, course, deviation, mean, quantiles, root_mean_square_change
from polyfuse.records import Spec, Tokens

QUANTILES = (0.1, 0.5, 0.9)
LOUD, SOFT = 5.0, 1.0  # below the loudest frame, in log energy (22 dB), where a frame half counts; how soft the edge is
PARTS, COURSE = 4, 13  # parts of a sound whose cepstra are told apart, and how many coefficients of them
RELATED = 12  # first coefficients that are correlated
MODULATIONS = (1.0, 2.0, 3.0, 4.5, 6.5, 9.0, 13.0, 20.0)  # Hz
GROUPS = 8  # of mel bands whose modulation is looked at
LOWEST, HIGHEST = 75.0, 400.0  # Hz where a voice's pitch lies
VOICED, USUAL = 0.4, 160.0  # autocorrelation from which a frame has a pitch; Hz that stands for no pitch at all
EARLIER = 0.1  # what the longest period must be better by: whole multiples of a period fit as well as it does
TINY = 1e-6
LONGEST = 60.0  # seconds: what a minute of a call sounds like, the rest does too
AT_ONCE = 2_000_000  # samples in work together; their frames take some twenty times the memory


class Statistics(nn.Module):
    """Fixed statistics of mel cepstra, spectrum, pitch and rhythm as one token; the strong start for few sounds.

    Nothing is learnt and nothing standardised: whoever reads the token standardises it on training rows. Frames at the
    level of the sound itself count most, so that silence around it changes little; some statistics keep the recording's
    level, most do not.

    Args:
        rate: samples per second of what comes in.
        sample_rate: samples per second to ask for; ``"auto"`` follows the training sounds.
        seconds: what is kept of longer sounds; ``"auto"`` keeps them whole, up to a minute.
        bins: mel filters, a multiple of 8.
        coefficients: mel cepstra, 13 at least.

    Raises:
        ValueError: bins or coefficients that do not fit.

    See also:
        ``spectrogram_cnn``, which learns from the same spectrogram and gains with more clips; both fit side by side.
    """

    paper = "Davis and Mermelstein, Comparison of parametric representations for word recognition, IEEE TASSP 1980"
    fixed = True

    @spec_of("rate")
    @staticmethod
    def wants(sample_rate: int | str, seconds: float | str) -> Spec:
        """Samples at one rate."""
        return wave_spec(sample_rate, seconds, longest=LONGEST)

    def __init__(
        self,
        *,
        rate: int,
        sample_rate: int | str = "auto",
        seconds: float | str = "auto",
        bins: int = 40,
        coefficients: int = 20,
    ):
        super().__init__()
        if bins % GROUPS or not COURSE <= coefficients <= bins:
            raise ValueError(
                f"bins={bins}, coefficients={coefficients}: expected a multiple of {GROUPS}, "
                f"and from {COURSE} to as many coefficients as bins"
            )
        self.rate, self.spectra, self.pitch = rate, Spectra(rate=rate, bins=bins), _Pitch(rate=rate)
        self.register_buffer("cosines", _cosines(bins, coefficients), persistent=False)
        frames_M1 = torch.tensor(MODULATIONS)[:, None] * (2 * math.pi * self.spectra.hop / rate)
        self.register_buffer("turns", frames_M1, persistent=False)
        self.width = self._features(torch.zeros(1, max(1, rate // 10)), torch.tensor([1])).shape[1]

    cosines: Tensor
    turns: Tensor

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``wave`` (U, S), ``lengths`` (U,) -> one token (U, 1, D)."""
        wave_US, lengths_U = fields["wave"], fields["lengths"]
        with torch.autocast(wave_US.device.type, enabled=False):  # half precision ruins quiet bins
            if torch.compiler.is_exporting():
                x_UD = self._features(wave_US, lengths_U)
            else:
                count = max(1, AT_ONCE // wave_US.shape[1])
                parts = zip(wave_US.split(count), lengths_U.split(count), strict=True)
                x_UD = torch.cat([self._features(wave, lengths) for wave, lengths in parts])
        return Tokens(x_UD[:, None], present_B[:, None])

    def _features(self, wave_US: Tensor, lengths_U: Tensor) -> Tensor:
        frames_UNS, power_UNB, log_UNF, mask_UN = self.spectra(wave_US, lengths_U)
        real_UN1 = mask_UN[..., None].to(log_UNF.dtype)
        heard_UN1 = _loudness(log_UNF, mask_UN) * real_UN1
        voice_UNV, voiced_UN1 = self.pitch(power_UNB, self.spectra.window, real_UN1)
        length_U1 = lengths_U[:, None].to(log_UNF.dtype) / self.rate
        parts = [
            *self._cepstra(log_UNF @ self.cosines, real_UN1, heard_UN1, mask_UN),
            _normalize_level(mean(log_UNF, heard_UN1)),
            *_spread(_spectral_shape(frames_UNS, power_UNB, log_UNF), heard_UN1),
            *_voice_statistics(voice_UNV, voiced_UN1, real_UN1, mask_UN),
            self._modulation(log_UNF, real_UN1),
            mean(heard_UN1, real_UN1),
            (length_U1 + 0.01).log(),
            (length_U1 * mean(heard_UN1, real_UN1) + 0.01).log(),
        ]
        return torch.cat(parts, 1)

    def _cepstra(self, x_UNC: Tensor, real_UN1: Tensor, heard_UN1: Tensor, mask_UN: Tensor) -> list[Tensor]:
        """Level, spread, pace, course over the sound and correlations of the cepstra."""
        return [
            quantiles(x_UNC, mask_UN, QUANTILES),
            mean(x_UNC, heard_UN1),
            deviation(x_UNC, heard_UN1),
            root_mean_square_change(x_UNC, real_UN1),
            course(x_UNC[..., :COURSE], heard_UN1, PARTS),
            correlations(x_UNC[..., :RELATED], heard_UN1, floor=0.05),
        ]

    def _modulation(self, log_UNF: Tensor, real_UN1: Tensor) -> Tensor:
        """Log power at which groups of bands swing, per rate: (U, N, F), (U, N, 1) -> (U, groups * rates)."""
        centred_UNF = (log_UNF - mean(log_UNF, real_UN1)[:, None]) * real_UN1
        bands_UNG = centred_UNF.unflatten(2, (GROUPS, -1)).mean(3)
        turns_MN = self.turns * torch.arange(log_UNF.shape[1], device=log_UNF.device)
        power_UMG = (turns_MN.cos() @ bands_UNG).square() + (turns_MN.sin() @ bands_UNG).square()
        per_frame_UMG = power_UMG / real_UN1.sum(1, keepdim=True)
        return (per_frame_UMG.unflatten(1, (-1, 2)).mean(2) + 0.1).log().flatten(1)


class _Pitch(nn.Module):
    """Log pitch and voicing of frames, by the autocorrelation of each divided by its window's."""

    slope: Tensor

    def __init__(self, *, rate: int):
        super().__init__()
        width = max(16, round(rate * 0.025))
        self.rate, self.first = rate, max(1, int(rate / HIGHEST))
        self.last = max(self.first + 2, min(int(rate / LOWEST), int(width * 0.6)))
        slope = EARLIER * torch.arange(self.last - self.first) / (self.last - self.first)
        self.register_buffer("slope", slope, persistent=False)

    def forward(self, power_UNB: Tensor, window: Tensor, real_UN1: Tensor) -> tuple[Tensor, Tensor]:
        """Pitch and voicing (U, N, 2), and the weight that a frame has for pitch (U, N, 1)."""
        own = torch.fft.irfft(torch.fft.rfft(window, n=2 * (power_UNB.shape[2] - 1)).abs().square())
        expected = (own[self.first : self.last] / own[0]).clamp_min(0.05)
        likeness_UNS = torch.fft.irfft(power_UNB)
        part_UNS = likeness_UNS[..., self.first : self.last] / (likeness_UNS[..., :1] + TINY) / expected
        best_UN, lag_UN = (part_UNS - self.slope).max(2)
        voicing_UN = best_UN.clamp(0, 1)
        pitch_UN = (self.rate / (lag_UN + self.first).to(best_UN.dtype)).log()
        weight_UN1 = (voicing_UN * (voicing_UN > VOICED))[..., None] * real_UN1
        return torch.stack([pitch_UN, voicing_UN], 2), weight_UN1


def _cosines(bins: int, coefficients: int) -> Tensor:
    """The discrete cosine transform, the first coefficient being the mean of the bins: (bins, coefficients)."""
    angles = math.pi / bins * torch.arange(coefficients) * (torch.arange(bins)[:, None] + 0.5)
    cosines = angles.cos() * (math.sqrt(2) / bins)
    cosines[:, 0] /= math.sqrt(2)
    return cosines


def _loudness(log_UNF: Tensor, mask_UN: Tensor) -> Tensor:
    """How much a frame counts, 0 to 1, by its loudest band beside the loudest of the sound: (U, N, 1)."""
    loudest_UN = log_UNF.amax(2)
    top_U1 = loudest_UN.masked_fill(~mask_UN, -torch.inf).amax(1, keepdim=True)
    return torch.sigmoid((loudest_UN - top_U1 + LOUD) / SOFT)[..., None]


def _normalize_level(mean_UF: Tensor) -> Tensor:
    return mean_UF - mean_UF.mean(1, keepdim=True)


def _spectral_shape(frames_UNS: Tensor, power_UNB: Tensor, log_UNF: Tensor) -> Tensor:
    """Centre, width, two roll-offs, flatness, zero crossings, level and onset of each frame: (U, N, 8)."""
    pitch_B = torch.linspace(0, 1, power_UNB.shape[2], device=power_UNB.device)
    size_UNB = power_UNB.sqrt()
    share_UNB = size_UNB / size_UNB.sum(2, keepdim=True).clamp_min(TINY)
    centre_UN = share_UNB @ pitch_B
    width_UN = (share_UNB * (pitch_B - centre_UN[..., None]).square()).sum(2).sqrt()
    reached_UNB = power_UNB.cumsum(2) / power_UNB.sum(2, keepdim=True).clamp_min(1e-9)
    floor_UNB = power_UNB.clamp_min(1e-9)
    crossings_UN = (frames_UNS[..., 1:] * frames_UNS[..., :-1] < 0).to(power_UNB.dtype).mean(2)
    onset_UN = (log_UNF[:, 1:] - log_UNF[:, :-1]).clamp_min(0).mean(2)
    seen = [
        (centre_UN + 0.01).log(),
        width_UN,
        *((reached_UNB < part).to(power_UNB.dtype).mean(2) for part in (0.5, 0.85)),
        floor_UNB.log().mean(2) - floor_UNB.mean(2).log(),
        (crossings_UN + 0.01).log(),
        # log(level + 1e-8): onnxruntime takes what is added and as small as that for nothing
        (frames_UNS.square().mean(2) * 1e8 + 1).log() - math.log(1e8),
        F.pad(onset_UN, (1, 0)),
    ]
    return torch.stack(seen, 2)


def _spread(x_UNF: Tensor, weight_UN1: Tensor) -> list[Tensor]:
    return [mean(x_UNF, weight_UN1), deviation(x_UNF, weight_UN1)]


def _voice_statistics(voice_UNV: Tensor, weight_UN1: Tensor, real_UN1: Tensor, mask_UN: Tensor) -> list[Tensor]:
    """Pitch of voiced frames (the usual one where none is), how it moves, and how voiced the sound is."""
    pitch_UN1, voicing_UN1 = voice_UNV[..., :1], voice_UNV[..., 1:]
    some_U1 = (weight_UN1 > 0).any(1)
    level_U1 = torch.where(some_U1, mean(pitch_UN1, weight_UN1), math.log(USUAL))
    return [
        level_U1,
        deviation(pitch_UN1, weight_UN1),
        root_mean_square_change(pitch_UN1, weight_UN1).clamp_max(0.3),
        *_spread(voicing_UN1, real_UN1),
        quantiles(voicing_UN1, mask_UN, QUANTILES),
        mean((voicing_UN1 > VOICED).to(voicing_UN1.dtype), real_UN1),
    ]
