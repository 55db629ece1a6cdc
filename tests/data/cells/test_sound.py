"""Opening one sound: every container gives its length and samples, and every bad file a reason."""

from __future__ import annotations

import io
from contextlib import suppress

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polyfuse.data.cells.sound import describe, open_sound
from polyfuse.data.cells.source import BadCell, Limits, Sound

LIMITS = Limits()
FILES = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "PCM_24"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("AIFF", "PCM_16"),
]
FILES += [("MP3", "MPEG_LAYER_III")]


def tone(seconds: float, rate: int = 8000, channels: int = 1, hertz: float = 440) -> np.ndarray:
    wave = np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate) / 2
    return np.repeat(wave[:, None], channels, axis=1)


def file_of(samples: np.ndarray, rate: int = 8000, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def container_of(samples: np.ndarray, rate: int, kind: str, codec: str) -> bytes:
    """What libsndfile does not read, written by FFmpeg."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as out:
        stream = out.add_stream(codec, rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T, np.float32), format="fltp", layout="stereo")
        frame.sample_rate = rate
        pieces = av.AudioResampler(format=stream.codec_context.format, frame_size=1024)
        for piece in [*pieces.resample(frame), *pieces.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(("kind", "subtype"), FILES)
@pytest.mark.parametrize("channels", [1, 2])
def test_files_are_described_and_read_in_part(kind, subtype, channels):
    samples = tone(1.5, 16000, channels)
    content = file_of(samples, 16000, kind, subtype)
    seconds, rate, found = describe(content, LIMITS)
    assert (rate, found) == (16000, channels)
    assert seconds == pytest.approx(1.5, abs=0.1)
    with open_sound(content, LIMITS) as sound:
        part = sound.read(4000, 2000)
    assert part.shape == (2000, channels)
    assert part.dtype == np.float32
    if kind in ("WAV", "FLAC", "AIFF"):
        assert np.abs(part - samples[4000:6000]).max() < 1e-4


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "aac"), ("adts", "aac"), ("matroska", "pcm_s16le")])
def test_what_libsndfile_does_not_read_goes_to_ffmpeg(kind, codec):
    content = container_of(tone(2, 48000, 2), 48000, kind, codec)
    seconds, rate, channels = describe(content, LIMITS)
    assert (rate, channels) == (48000, 2)
    assert seconds == pytest.approx(2, abs=0.1)
    with open_sound(content, LIMITS) as sound:
        part = sound.read(24000, 9600)
    assert part.shape == (9600, 2)
    assert np.argmax(np.abs(np.fft.rfft(part[:, 0]))) == pytest.approx(440 * 0.2, abs=1)
    with open_sound(content, LIMITS) as sound:
        assert len(sound.read(0, 10**9)) == pytest.approx(2 * 48000, rel=0.05)


@given(
    hnp.arrays(
        st.sampled_from(
            [np.int8, np.uint8, np.int16, np.int32, np.int64, np.float32, np.float64, np.bool_, np.complex64]
        ),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=12),
    ),
    st.integers(1, 100_000),
)
@settings(deadline=None)
def test_any_array_gives_samples_or_a_reason(array, rate):
    with suppress(BadCell):
        seconds, found, channels = describe(Sound(array, rate), LIMITS)
        assert found == rate
        assert round(seconds * rate) * channels == array.size
        with open_sound(Sound(array, rate), LIMITS) as sound:
            assert sound.read(0, 100).shape == (round(seconds * rate), channels)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int32])
def test_whole_numbers_fill_the_same_range(dtype):
    about = np.iinfo(dtype)
    middle = 128 if dtype == np.uint8 else 0
    array = np.array([about.min, middle, about.max], dtype)
    with open_sound(Sound(array, 8000), LIMITS) as sound:
        low, zero, high = sound.read(0, 3)[:, 0]
    assert low == -1
    assert zero == 0
    assert 0.99 < high <= 1


def test_channels_may_come_first_or_last():
    samples = tone(0.1, channels=2)
    with open_sound(Sound(samples, 8000), LIMITS) as a, open_sound(Sound(samples.T, 8000), LIMITS) as b:
        assert np.array_equal(a.read(5, 50), b.read(5, 50))
        assert a.channels == b.channels == 2


def test_limits_and_reasons():
    long = file_of(np.zeros(8000 * 20))
    with pytest.raises(BadCell, match=r"20\.0 s, over the limit of 10 s \(data\.limits\.seconds\)"):
        describe(long, Limits(seconds=10))
    with pytest.raises(BadCell, match="no samples"):
        describe(file_of(np.zeros(0)), LIMITS)
    with pytest.raises(BadCell, match="sampling_rate"):
        describe(np.zeros(10), LIMITS)


@given(st.binary(max_size=60), st.integers(0, 200), st.sampled_from(["WAV", "FLAC", "OGG"]))
@settings(max_examples=100, deadline=None)
def test_damage_gives_a_sound_or_a_reason(damage, at, kind):
    content = bytearray(file_of(tone(0.1), 8000, kind, None))
    content[at : at + len(damage)] = damage
    with suppress(BadCell), open_sound(bytes(content), LIMITS) as sound:
        assert sound.read(0, 400).shape[1] == sound.channels


@pytest.mark.parametrize(
    "content",
    [b"", b"no sound", b"RIFF\0\0\0\0WAVE", b"ffconcat version 1.0\nfile '/etc/passwd'\n", b"#EXTM3U\nhttp://h/a.ts\n"],
)
def test_what_is_no_sound_says_so(content):
    with pytest.raises(BadCell) as caught:
        describe(content, LIMITS)
    assert "0x" not in str(caught.value), "the address of a buffer tells nobody anything"


def test_a_video_without_sound_says_so():
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))))
        out.mux(stream.encode(None))
    with pytest.raises(BadCell, match="no sound"):
        describe(file.getvalue(), LIMITS)
