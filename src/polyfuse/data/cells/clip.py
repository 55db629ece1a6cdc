"""One video: a file or an array of pictures -> the pictures nearest to some moments, upright, as they were filmed.

Moments are found by time stamps, as phones and screen recordings keep no steady rate, and MKV and WebM count no frames.
Of a short video everything is decoded once; in a long one every moment is sought by itself.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyfuse.data.cells.sound import CONTAINERS
from polyfuse.data.cells.source import BadCell, Limits, Media, Sound

STEADY = 10.0  # frames per second of an array that says no rate
AFTER_KEY = 64  # pictures that are decoded at most to come nearer to a moment that is sought
WHOLE = 30.0  # seconds up to which decoding everything is quicker than seeking
LEAST = 2  # pictures that a damaged video must give to count


@dataclass(frozen=True)
class About:
    """What the header of a video says.

    Args:
        seconds: how long it lasts.
        rate: frames per second, on average.
        width, height: of the pictures as they are shown, after rotation where the header knows of one.
        sound: whether there is a sound track.
    """

    seconds: float
    rate: float
    width: int
    height: int
    sound: bool


def describe(content: Media, limits: Limits = Limits()) -> About:
    """What the header says; where it says no length, the packets are counted, and nothing is decoded.

    Raises:
        BadCell: no video, an empty one, or one over a limit.
    """
    with _opened(content, limits) as video:
        return video.about


def moments(content: Media, wanted: Sequence[float], limits: Limits = Limits()) -> list[tuple[float, np.ndarray]]:
    """For each share of the video's length, 0 to 1 and ascending, the time in seconds and the picture nearest to it.

    Of a video that is damaged in the middle, what came before counts: the shares are of that part.

    Returns:
        One entry per share; several may be the same picture.

    Raises:
        BadCell: no video, one over a limit, or fewer than two pictures of a damaged one.
    """
    with _opened(content, limits) as video:
        return video.moments(list(wanted))


@contextmanager
def _opened(content: Media, limits: Limits) -> Iterator[_Array | _Container]:
    try:
        with _open(content, limits) as video:
            about = video.about
            if about.seconds > limits.seconds:
                raise BadCell(f"{about.seconds:,.1f} s, over the limit of {limits.seconds:,g} s (data.limits.seconds)")
            if about.width * about.height > limits.pixels:
                raise BadCell(
                    f"{about.width:,} x {about.height:,} pixels, over the limit of {limits.pixels:,} "
                    "(data.limits.pixels)"
                )
            if about.width < 1 or about.height < 1:
                raise BadCell(f"pictures of {about.width} x {about.height} pixels")
            yield video
    except BadCell:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise BadCell(f"damaged video: {_reason(error)}") from None


def _open(content: Media, limits: Limits) -> _Array | _Container:
    if isinstance(content, np.ndarray):
        return _Array(content)
    if isinstance(content, Sound):
        raise BadCell("a sound where a video is meant")
    return _Container(content, limits)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__).strip().rstrip(".")


class _Array:
    """Pictures in order, (N, H, W, 3 | 1), (N, 3 | 1, H, W) or (N, H, W), as bytes or numbers from 0 to 1."""

    def __init__(self, values: np.ndarray):
        frames = values[..., None] if values.ndim == 3 else values
        if frames.ndim != 4 or 0 in frames.shape:
            raise BadCell(f"an array of shape {values.shape}; expected pictures in order, (N, H, W, 3)")
        if frames.shape[-1] not in (1, 3) and frames.shape[1] in (1, 3):
            frames = frames.transpose(0, 2, 3, 1)
        if frames.shape[-1] not in (1, 3):
            raise BadCell(f"an array of shape {values.shape}; expected pictures in order, (N, H, W, 3)")
        if frames.dtype.kind == "f":
            if not np.isfinite(frames).all():
                raise BadCell("pictures that hold NaN or infinite numbers")
            frames = (frames * (255 if frames.max() <= 1 else 1)).clip(0, 255)
        self._frames = np.broadcast_to(frames, (*frames.shape[:3], 3)).astype(np.uint8)
        self.about = About(len(frames) / STEADY, STEADY, frames.shape[2], frames.shape[1], False)

    def moments(self, wanted: list[float]) -> list[tuple[float, np.ndarray]]:
        count = len(self._frames)
        places = [min(count - 1, int(share * count)) for share in wanted]
        return [(place / STEADY, self._frames[place]) for place in places]

    def __enter__(self) -> _Array:
        return self

    def __exit__(self, *_: object) -> None: ...


class _Container:
    """A file that FFmpeg reads, in memory; PyAV is optional, as prediction may do without."""

    def __init__(self, content: bytes, limits: Limits):
        try:
            import av
            import av.video.reformatter
        except ImportError:
            raise BadCell("videos are read by PyAV: pip install 'av>=14'") from None
        self._errors = (av.error.FFmpegError,)
        self._to_rgb = av.video.reformatter.VideoReformatter()  # made once: each costs more than many small pictures
        self._file = av.open(io.BytesIO(content), "r", options={"format_whitelist": CONTAINERS})
        # the picture on the cover of a song is a video track too
        tracks = [s for s in self._file.streams.video if s.codec_context is not None and not _is_cover(s)]
        if not tracks:
            self._file.close()
            raise BadCell("there are no moving pictures in this file, or it is cut off")
        self._stream = max(tracks, key=lambda s: s.codec_context.width * s.codec_context.height)
        self._broken = False
        self._limits, self._tick = limits, float(self._stream.time_base or 0)
        self._first = float((self._stream.start_time or 0) * self._tick)
        codec = self._stream.codec_context
        seconds = self._seconds()
        rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        self.about = About(seconds, rate, codec.width, codec.height, bool(self._file.streams.audio))

    def _seconds(self) -> float:
        if self._stream.duration is not None:
            return float(self._stream.duration) * self._tick
        if self._file.duration is not None:
            return self._file.duration / 1_000_000
        ends = [float((p.pts or 0) + (p.duration or 0)) * self._tick for p in self._packets()]
        self._file.seek(0)
        return max(ends, default=0.0) - self._first

    def _packets(self) -> Iterator[Any]:
        try:
            yield from (packet for packet in self._file.demux(self._stream) if packet.pts is not None)
        except self._errors:
            return

    def moments(self, wanted: list[float]) -> list[tuple[float, np.ndarray]]:
        if self.about.seconds > WHOLE:
            return self._sought(wanted)
        chosen, times = self._passed([self._first + share * self.about.seconds for share in wanted])
        span = _span(times)
        if len(chosen) < len(wanted) or abs(span - self.about.seconds) > max(0.2 * span, 2 * span / max(1, len(times))):
            # the header is wrong, or the file ends in the middle: once more, by what there is
            chosen, times = self._passed([times[0] + share * span for share in wanted] if times else [])
        if not times or (self._broken and len(times) < LEAST):
            raise BadCell("damaged video: fewer than two pictures can be read" if times else "no picture can be read")
        return chosen + chosen[-1:] * (len(wanted) - len(chosen))

    def _passed(self, wanted: list[float]) -> tuple[list[tuple[float, np.ndarray]], list[float]]:
        """Decode everything once: the pictures shown nearest to some times, ascending, and the times of all."""
        self._file.seek(0)
        chosen: list[tuple[float, np.ndarray]] = []
        times: list[float] = []
        before: Any = None
        for frame in self._frames():
            time = self._time(frame, times)
            while len(chosen) < len(wanted) and time >= wanted[len(chosen)]:
                target = wanted[len(chosen)]
                early = before is not None and target - times[-1] < time - target
                chosen.append(self._chosen(chosen, times[-1], before) if early else self._chosen(chosen, time, frame))
            times.append(time)
            before = frame
        if before is not None:  # moments within the last picture
            last = times[-1] + _span(times) / len(times)
            while len(chosen) < len(wanted) and wanted[len(chosen)] <= last:
                chosen.append(self._chosen(chosen, times[-1], before))
        return [(time - self._first, picture) for time, picture in chosen], times

    def _sought(self, wanted: list[float]) -> list[tuple[float, np.ndarray]]:
        """By seeking: near each moment the picture that is nearest among the first after a key picture."""
        found: list[tuple[float, np.ndarray]] = []
        for share in wanted:
            target, nearest, times = self._first + share * self.about.seconds, None, list[float]()
            try:
                self._file.seek(int(target / self._tick), stream=self._stream)
            except self._errors:
                continue
            for frame in self._frames():
                times.append(self._time(frame, times))
                if nearest is None or abs(times[-1] - target) < abs(nearest[0] - target):
                    nearest = times[-1], frame
                if times[-1] >= target or len(times) == AFTER_KEY:
                    break
            if nearest is not None:
                found.append(self._chosen(found, *nearest))
        if len(found) < min(LEAST, len(wanted)):
            raise BadCell("damaged video: fewer than two pictures can be read")
        return [(time - self._first, picture) for time, picture in found] + [
            (found[-1][0] - self._first, found[-1][1])
        ] * (len(wanted) - len(found))

    def _frames(self) -> Iterator[Any]:
        """Pictures from where the file stands, up to its end or to where it is damaged."""
        self._broken = False
        try:
            for frame in self._file.decode(self._stream):
                if frame.width * frame.height > self._limits.pixels:  # the header may say less than there is
                    raise BadCell(
                        f"{frame.width:,} x {frame.height:,} pixels, over the limit of {self._limits.pixels:,} "
                        "(data.limits.pixels)"
                    )
                yield frame
        except self._errors:
            self._broken = True

    def _time(self, frame: Any, before: Sequence[float]) -> float:
        """When a picture is shown; by the rate where the file does not say."""
        if frame.pts is not None:
            return float(frame.pts) * self._tick
        return before[-1] + 1 / (self.about.rate or STEADY) if before else self._first

    def _chosen(self, before: Sequence[tuple[float, np.ndarray]], time: float, frame: Any) -> tuple[float, np.ndarray]:
        """A chosen picture, (H, W, 3) uint8, upright; the same array where it was chosen just before."""
        if before and before[-1][0] == time:
            return before[-1]
        pixels = self._to_rgb.reformat(frame, format="rgb24").to_ndarray()
        return time, np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))  # phones note a rotation

    def __enter__(self) -> _Container:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _span(times: Sequence[float]) -> float:
    """Seconds from the first picture to the end of the last."""
    return (max(times) - min(times)) * len(times) / (len(times) - 1) if len(times) > 1 else 0.0


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & type(stream.disposition).attached_pic)
