"""Decode one sound (a file, the sound of a video, or an array) to mono samples of a requested part.

A file is opened by its header and only the wanted part is decoded, so that an hour costs as much as its first seconds.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import soundfile

from polyfuse.data.cells.source import BadCell, Limits, Media, NothingHere, Sound

# FFmpeg also opens playlists and lists of files, which name other files and addresses: only containers of sound here
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,ogg,mp3,aac,flac,wav,aiff,asf,avi,flv,mpegts,mpeg,amr,ac3,caf,w64,ape"
)


class Reader(Protocol):
    """An opened sound; ``film`` says that it is the sound of moving pictures."""

    rate: int
    channels: int
    seconds: float
    film: bool

    def read(self, start: int, count: int) -> np.ndarray:
        """(samples, channels) float32 from sample ``start`` on, fewer where the sound ends."""


def describe(content: Media, limits: Limits = Limits()) -> tuple[float, int, int]:
    """Seconds, rate in Hz and channels, from the header.

    Raises:
        BadCell: no sound, an empty one, or one longer than ``limits.seconds``.
    """
    with open_sound(content, limits) as sound:
        return sound.seconds, sound.rate, sound.channels


@contextmanager
def open_sound(content: Media, limits: Limits) -> Iterator[Reader]:
    """A reader of the sound, within limits.

    Raises:
        BadCell: no sound, an empty one, a damaged one, or one longer than ``limits.seconds``.
    """
    try:
        with _open(content) as sound:
            if sound.seconds > limits.seconds:
                raise BadCell(f"{sound.seconds:,.1f} s, over the limit of {limits.seconds:,g} s (data.limits.seconds)")
            if sound.seconds <= 0:
                raise BadCell("the sound has no samples")
            yield sound
    except BadCell:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise BadCell(f"damaged sound: {_reason(error)}") from None


def _open(content: Media) -> Any:
    if isinstance(content, Sound):
        return _Samples(content)
    if not isinstance(content, bytes):
        raise BadCell("samples need their rate: {'array': samples, 'sampling_rate': Hz}, or a sound file")
    try:
        return _SoundFile(content)
    except soundfile.LibsndfileError as error:
        return _Container(content, _reason(error))


def _reason(error: Exception) -> str:
    """The message of a library's error, without the address of its buffer."""
    text = (
        error.error_string if isinstance(error, soundfile.LibsndfileError) else getattr(error, "strerror", str(error))
    )
    return str(text or type(error).__name__).strip().rstrip(".")


class _Samples:
    """An array of samples, (S,), (S, channels) or (channels, S) with at most eight channels."""

    film = False

    def __init__(self, sound: Sound):
        samples = sound.samples[:, None] if sound.samples.ndim == 1 else sound.samples
        if samples.ndim != 2 or samples.dtype.kind not in "iuf":
            raise BadCell(
                f"{samples.dtype} samples of shape {sound.samples.shape}; expected numbers (S,) or (S, channels)"
            )
        self._samples = samples.T if samples.shape[0] <= 8 < samples.shape[1] else samples
        self.rate, self.channels = sound.rate, self._samples.shape[1]
        self.seconds = self._samples.size / max(1, self.channels) / sound.rate

    def read(self, start: int, count: int) -> np.ndarray:
        return _to_float(self._samples[start : start + count])

    def __enter__(self) -> _Samples:
        return self

    def __exit__(self, *_: object) -> None: ...


def _to_float(samples: np.ndarray) -> np.ndarray:
    """Whole numbers -> -1 to 1 by the range of their type; wider types than 32 bits hold 16-bit sound."""
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if kind == "f":
        with np.errstate(over="ignore"):  # too large becomes infinite, which is refused
            return samples.astype(np.float32)
    full = 2.0 ** (15 if bits > 32 else bits - 1)
    return ((samples.astype(np.float64) - (full if kind == "u" else 0)) / full).astype(np.float32)


class _SoundFile:
    """WAV, FLAC, Ogg, MP3 and whatever else libsndfile reads."""

    film = False

    def __init__(self, content: bytes):
        self._file = soundfile.SoundFile(io.BytesIO(content))
        self.rate, self.channels = self._file.samplerate, self._file.channels
        self.seconds = self._file.frames / self.rate

    def read(self, start: int, count: int) -> np.ndarray:
        self._file.seek(start)
        return self._file.read(min(count, self._file.frames - start), dtype="float32", always_2d=True)

    def __enter__(self) -> _SoundFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class _Container:
    """AAC, M4A, WebM and the sound of videos, by FFmpeg; PyAV is optional, as prediction may do without."""

    def __init__(self, content: bytes, why: str):
        try:
            import av
        except ImportError:
            raise BadCell(f"{why}; PyAV reads more formats: pip install 'polyfuse[train]'") from None
        self._file = av.open(io.BytesIO(content), "r", options={"format_whitelist": CONTAINERS})
        self.film = bool(self._file.streams.video)
        if not self._file.streams.audio:
            raise (NothingHere if self.film else BadCell)("there is no sound in this file")
        self._stream = self._file.streams.audio[0]
        if self._stream.codec_context is None:
            raise BadCell("no decoder for the sound in this file")
        self.rate, self.channels = self._stream.rate, self._stream.channels
        self.seconds = self._length()

    def _length(self) -> float:
        if self._stream.duration is not None:
            return float(self._stream.duration * (self._stream.time_base or 0))
        if self._file.duration is not None:
            return self._file.duration / 1_000_000
        ends = [
            float((p.pts + (p.duration or 0)) * p.time_base)
            for p in self._file.demux(self._stream)
            if p.pts is not None
        ]
        self._file.seek(0)
        return max(ends, default=0.0)

    def read(self, start: int, count: int) -> np.ndarray:
        import av

        kept: list[np.ndarray] = [np.zeros((0, self.channels), np.float32)]
        seen = 0
        floats = av.AudioResampler(format="fltp")  # changes the type of the samples, not their rate
        for frame in self._file.decode(self._stream):
            for part in floats.resample(frame):
                if seen + part.samples > start:
                    kept.append(part.to_ndarray().T[max(0, start - seen) :])
                seen += part.samples
            if seen >= start + count:
                break
        return np.concatenate(kept)[:count]

    def __enter__(self) -> _Container:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
