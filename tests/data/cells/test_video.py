"""Videos as columns: moments by time stamps, any container, damage, limits, rotation."""

from __future__ import annotations

import io
import struct
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.clip import describe, moments
from polyfuse.data.cells.source import BadCell, Limits, Sound
from polyfuse.data.cells.video import Clip, Pairs
from polyfuse.data.modalities import infer_columns
from polyfuse.data.tables import read_table

CODECS = {"mp4": "mpeg4", "mkv": "mpeg4", "webm": "libvpx", "avi": "mpeg4", "mov": "mpeg4"}


def grey(value: float, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size, 3), round(value), np.uint8)


def video(frames, *, kind: str = "mp4", times=None, rate: int = 10, sound: bool = False) -> bytes:
    """A file of pictures (H, W, 3), shown at ``times`` in seconds, or at a steady rate."""
    file = io.BytesIO()
    with av.open(file, "w", format={"mkv": "matroska"}.get(kind, kind)) as out:
        stream = out.add_stream(CODECS[kind], rate=rate)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.time_base = Fraction(1, 1000)
        if "q" not in stream.options:
            stream.codec_context.bit_rate = 2_000_000
        track = out.add_stream("aac" if kind != "webm" else "libopus", rate=48000) if sound else None
        for n, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = round(1000 * (times[n] if times is not None else n / rate)), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if track is not None:
            for n in range(10):
                part = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
                part.sample_rate, part.pts = 48000, 1024 * n
                out.mux(track.encode(part))
            out.mux(track.encode(None))
    return file.getvalue()


def levels(found) -> list[int]:
    return [round(float(picture.mean())) for _, picture in found]


@pytest.mark.parametrize("kind", CODECS)
def test_moments_are_evenly_spaced_in_any_container(kind):
    content = video([grey(20 * n) for n in range(12)], kind=kind)
    about = describe(content)
    assert about.seconds == pytest.approx(1.2, abs=0.15)
    assert (about.width, about.height, about.sound) == (64, 48, False)
    found = moments(content, (np.arange(4) + 0.5) / 4)
    assert np.abs(np.array(levels(found)) - [20, 80, 140, 200]).max() <= 22
    assert found[0][1].shape == (48, 64, 3)
    assert [time for time, _ in found] == sorted(time for time, _ in found)


def test_at_a_variable_rate_time_decides_and_not_the_number_of_pictures():
    times = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 2.0, 3.9]  # most pictures in the first tenth
    content = video([grey(25 * n) for n in range(9)], times=times, kind="mkv")
    found = moments(content, [0.005, 0.5, 0.97])
    assert np.abs(np.array(levels(found)) - [0, 175, 200]).max() <= 30
    assert found[1][0] == pytest.approx(2.0, abs=0.05)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.sampled_from(["mp4", "mkv"]))
def test_as_many_moments_come_as_are_asked_for(pictures, wanted, kind):
    content = video([grey(8 * n) for n in range(pictures)], kind=kind)
    found = moments(content, (np.arange(wanted) + 0.5) / wanted)
    assert len(found) == wanted
    assert sorted(levels(found)) == levels(found)


def test_a_long_video_is_sought_as_a_short_one_is_decoded(monkeypatch):
    frames = [grey(2 * n) for n in range(120)]
    content, shares = video(frames), (np.arange(6) + 0.5) / 6
    whole = moments(content, shares)
    monkeypatch.setattr("polyfuse.data.cells.clip.WHOLE", 1.0)
    sought = moments(content, shares)
    assert np.abs(np.array(levels(sought)) - levels(whole)).max() <= 4
    assert [t for t, _ in sought] == pytest.approx([t for t, _ in whole], abs=0.15)


def test_what_came_before_the_damage_counts():
    content = video([grey(8 * n) for n in range(30)], kind="mkv")
    cut = content[: len(content) * 2 // 3]
    found = moments(cut, (np.arange(4) + 0.5) / 4)
    assert len(found) == 4
    assert max(levels(found)) < max(levels(moments(content, [0.99])))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no video at all, whatever its ending says", "damaged video"),
        (video([grey(9)] * 20)[:900], "damaged video"),
        (np.zeros((4, 8)), r"shape \(4, 8\)"),
        (np.zeros((0, 8, 8, 3)), "shape"),
        (np.full((2, 4, 4, 3), np.nan), "NaN"),
        (Sound(np.zeros(10), 8000), "a sound where a video is meant"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "damaged video"),
        (b"ffconcat version 1.0\nfile '/etc/hostname'\n", "damaged video"),
    ],
)
def test_what_is_no_video_says_why(content, reason):
    with pytest.raises(BadCell, match=reason):
        moments(content, [0.5])
    assert isinstance(Clip(2, picture={"size": 8}).encode([content], Limits())[0], BadCell)


def test_a_sound_alone_is_no_video(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.flac", np.zeros(8000), 8000)
    with pytest.raises(BadCell, match="no moving pictures"):
        describe((tmp_path / "a.flac").read_bytes())


def test_limits_hold_before_anything_is_decoded():
    content = video([grey(0)] * 20)
    with pytest.raises(BadCell, match=r"2\.0 s, over the limit of 1 s"):
        moments(content, [0.5], Limits(seconds=1))
    with pytest.raises(BadCell, match="64 x 48 pixels, over the limit of 100"):
        moments(content, [0.5], Limits(pixels=100))


def test_arrays_of_pictures_are_videos():
    frames = np.stack([grey(20 * n) for n in range(10)])
    for array in (frames, frames.transpose(0, 3, 1, 2), frames / 255):
        assert levels(moments(array, [0.05, 0.95])) == [0, 180]
    assert levels(moments(frames[..., 0], [0.55])) == [100]


# turns clockwise of what is shown -> the first two rows of the matrix in the header of an MP4's track, without offsets
MATRIX = {1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}


@pytest.mark.parametrize("turns", MATRIX)
def test_a_phone_held_upright_is_seen_upright(turns):
    pixels = grey(0)
    pixels[:16, :16] = 255  # the corner on top, left
    content = bytearray(video([pixels] * 5))
    at = content.index(b"tkhd") + 4 + 40  # version 0 of the box
    a, b, c, d = (struct.pack(">i", part * 65536) for part in MATRIX[turns])
    content[at : at + 36] = a + b + bytes(4) + c + d + bytes(4) + bytes(8) + struct.pack(">I", 2**30)
    seen = moments(bytes(content), [0.5])[0][1]
    expected = np.rot90(pixels, -turns)
    assert seen.shape == expected.shape
    assert np.abs(seen.astype(int) - expected).mean() < 20


def test_a_sound_track_is_told():
    assert describe(video([grey(0)] * 5, sound=True)).sound


def test_the_transform_keeps_pictures_and_times_and_comes_back_from_json():
    content = video([grey(20 * n) for n in range(12)])
    clip = Clip(frames=3)
    clip.fit([content, b"broken"], {"v": "video"}, Limits())
    again = Clip()
    again.restore(clip.state())
    one, other = (transform.encode([content], Limits())[0] for transform in (clip, again))
    assert np.array_equal(one, other)
    fields = again.collate([one, again.blank()])
    assert fields["frames"].shape == (2, 3, 3, 48, 48)
    assert fields["frames"].dtype == np.uint8
    assert fields["times"][0] == pytest.approx([0.2, 0.6, 1.0], abs=0.11)
    assert not fields["frames"][1].any()
    middle = Clip(frames=2, seconds=0.4, picture={"size": 8})
    found = middle.collate([middle.encode([content], Limits())[0]])
    assert found["times"][0] == pytest.approx([0.5, 0.7], abs=0.11)
    assert middle.cuts(content, Limits())
    assert not Clip(seconds=5.0).cuts(content, Limits())


@pytest.mark.parametrize("keywords", [{"frames": 0}, {"seconds": 0}, {"seconds": "all"}, {"picture": {"size": 0}}])
def test_settings_are_checked(keywords):
    with pytest.raises(ValueError, match="expected"):
        Clip(**keywords)


def test_pairs_are_two_pictures_soon_after_each_other():
    content = video([grey(10 * n) for n in range(20)])
    pairs = Pairs(frames=4, gap=0.1, picture={"size": 8})
    again = Pairs()
    again.restore(pairs.state())
    fields = again.collate([again.encode([content], Limits())[0], again.blank()])
    assert fields["frames"].shape == (2, 4, 6, 8, 8)
    assert fields["lengths"].tolist() == [4, 4]
    first, second = fields["frames"][0, :, :3].mean((1, 2, 3)), fields["frames"][0, :, 3:].mean((1, 2, 3))
    assert np.abs(second - first - 10).max() <= 5
    with pytest.raises(ValueError, match="gap"):
        Pairs(gap=0)
    short = Pairs(frames=4, gap=0.5, picture={"size": 8})  # longer than the parts of the video
    found = short.collate([short.encode([content], Limits())[0]])["frames"][0]
    assert (found[:, 3:].mean((1, 2, 3)) > found[:, :3].mean((1, 2, 3))).all()


def test_without_pyav_the_reason_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BadCell, match=r"pip install 'av>=14'"):
        describe(b"anything")


def test_an_inspection_says_length_rate_and_size():
    cells = [video([grey(10 * n) for n in range(count)], rate=10) for count in (10, 20)]
    reason = infer_columns(read_table({"clip": cells}))["clip"].reason
    assert "1.0 to 2.0 s, 10 frames a second, 64 x 48 pixels" in reason


def test_a_film_without_a_sound_is_a_missing_sound_and_said(tmp_path):
    from polyfuse.data.cells.audio import Wave
    from polyfuse.data.cells.source import NothingHere
    from polyfuse.data.prepare import Reading, prepare

    mute, silent = video([grey(0)] * 5), video([grey(9)] * 5, sound=True)
    wave = Wave(rate=8000, seconds=1.0)
    found = wave.encode([mute, silent], Limits())
    assert all(isinstance(cell, NothingHere) for cell in found)
    assert [str(cell) for cell in found] == ["there is no sound in this file", "a sound track of digital silence"]
    frame = read_table({"clip": [mute, silent] * 8}).frame
    made = prepare(wave, frame, {"clip": "audio"}, Reading(cache=tmp_path))
    assert made.broken == []
    assert (made.index_RK == -1).all()
    assert "16 of 16 videos have no sound (no track, or digital silence)" in made.notes[0]


def test_training_draws_other_moments_of_the_same_clip():
    from polyfuse.data import augment
    from polyfuse.data.batches import Rows
    from polyfuse.data.prepare import Prepared

    clip = Clip(frames=3, picture={"size": 8}, spare=3)
    again = Clip()
    again.restore(clip.state())
    cell = again.encode([video([grey(8 * n) for n in range(30)])], Limits())[0]
    plain = again.collate([cell])
    assert plain["frames"].shape == (1, 3, 3, 8, 8)
    assert plain["times"][0] == pytest.approx([0.5, 1.5, 2.5], abs=0.11)
    made = Prepared(again, [cell, again.blank()], np.array([[0], [1]]), [b"0", b"1"])
    change = augment.build("video", "default", again)
    rows = Rows({"clip": made}, {}, 2, augment={"clip": change})
    drawn = [rows[seed, np.array([0])].inputs["clip"].fields["times"][0].tolist() for seed in range(9)]
    seen = {tuple(np.round(times, 1)) for times in drawn}
    assert len(seen) > 3
    for times in seen:
        assert len(times) == 3
        assert all(abs(time - middle) < 0.5 for time, middle in zip(times, (0.5, 1.5, 2.5), strict=True))
    first = rows[0, np.array([0, 1])].inputs["clip"].fields
    assert first["frames"].shape == (2, 3, 3, 8, 8)
    assert first["lengths"].tolist() == [3, 3]
    still = Rows({"clip": made}, {}, 2, augment={})[0, np.array([0])].inputs["clip"].fields
    assert np.array_equal(still["times"], plain["times"])
    assert augment.build("video", "none", again) is None
    with pytest.raises(ValueError, match="odd"):
        Clip(spare=2)
