"""The transform of audio columns: rates, windows, loudness, state, and real recordings."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.audio import Wave
from polyfuse.data.cells.source import BadCell, Limits, NothingHere, Sound

LIMITS = Limits()
DATA = Path(os.environ.get("POLYFUSE_DATA", Path(__file__).parents[4] / "shared" / "data"))


def tone(seconds: float, rate: int = 8000, hertz: float = 440) -> Sound:
    return Sound(
        (np.sin(2 * np.pi * hertz * np.arange(max(1, round(seconds * rate))) / rate) / 2).astype(np.float32), rate
    )


def file_of(sound: Sound, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound.samples, sound.rate, format=kind)
    return file.getvalue()


def fitted(cells: list, **keywords) -> Wave:
    made = Wave(**keywords)
    made.fit(cells, {"voice": "audio"}, LIMITS)
    return made


@given(
    st.integers(1, 20_000),
    st.sampled_from([4000, 8000, 11025, 16000, 44100, 48000, 96000]),
    st.sampled_from([8000, 11025, 16000]),
    st.sampled_from(["start", "centre"]),
)
@settings(deadline=None)
def test_duration_is_kept_up_to_the_window(count, native, rate, crop):
    (array,) = Wave(rate=rate, seconds=0.5, crop=crop).encode([Sound(np.ones(count) / 2, native)], LIMITS)
    expected = min(0.5, count / native) * rate
    if isinstance(array, BadCell):
        assert expected < 1
        return
    assert array.dtype == np.int16
    assert array.ndim == 1
    assert abs(len(array) - expected) <= 1


@pytest.mark.parametrize("native", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("crop", ["start", "centre"])
def test_pitch_is_kept_at_any_rate(native, crop):
    (array,) = Wave(rate=8000, seconds=1.0, crop=crop).encode([tone(2, native, 1000)], LIMITS)
    spectrum = np.abs(np.fft.rfft(array))
    assert np.argmax(spectrum) == 1000
    assert np.abs(array).max() == pytest.approx(16384, rel=0.05)


def test_a_window_equals_that_part_of_the_whole():
    """The resampler sees past the window, so that its edge is no edge of the sound."""
    long = tone(4, 44100, 300)
    (whole,) = Wave(rate=16000, seconds=4).encode([long], LIMITS)
    (start,) = Wave(rate=16000, seconds=1).encode([long], LIMITS)
    (centre,) = Wave(rate=16000, seconds=1, crop="centre").encode([long], LIMITS)
    assert np.abs(whole[:16000].astype(int) - start).max() <= 2
    assert np.abs(whole[24000:40000].astype(int) - centre).max() <= 2


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_a_file_and_its_array_are_the_same_sound(kind):
    array = np.random.default_rng(0).integers(-(2**15), 2**15, 4000).astype(np.int16)
    made = Wave(rate=8000, seconds=0.3, crop="centre")
    from_file, from_array = made.encode([file_of(Sound(array, 8000), kind), Sound(array, 8000)], LIMITS)
    assert np.array_equal(from_file, array[800:3200])
    assert np.array_equal(from_array, from_file)


def test_channels_are_averaged():
    left, right = tone(0.2).samples, tone(0.2, hertz=900).samples
    made = Wave(rate=8000, seconds=1)
    stereo, mono = made.encode([Sound(np.stack([left, right], 1), 8000), Sound((left + right) / 2, 8000)], LIMITS)
    assert np.abs(stereo.astype(int) - mono).max() <= 1


def test_loud_sounds_are_scaled_not_clipped():
    made = Wave(rate=8000, seconds=1)
    soft, loud, sixteen = made.encode(
        [tone(0.1), Sound(tone(0.1).samples * 6, 8000), Sound(tone(0.1).samples * 32768, 8000)], LIMITS
    )
    assert np.abs(loud).max() >= 32767
    assert np.corrcoef(soft, loud)[0, 1] > 0.9999
    assert np.abs(loud.astype(int) - sixteen).max() <= 2


def test_twenty_minutes_cost_as_much_as_the_window():
    for kind in ("WAV", "FLAC"):
        content = file_of(Sound(np.zeros(8000 * 1200, np.int16), 8000), kind)
        for crop in ("start", "centre"):
            begun = time.perf_counter()
            (array,) = Wave(rate=8000, seconds=2, crop=crop).encode([content], LIMITS)
            assert array.shape == (16000,)
            assert time.perf_counter() - begun < 1


def test_a_hundredth_of_a_second_and_silence_are_sounds():
    short, silent = Wave(rate=8000, seconds=1).encode([tone(0.01, 44100), Sound(np.zeros(100), 8000)], LIMITS)
    assert len(short) == 80
    assert len(silent) == 100
    assert not silent.any()


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (Sound(np.zeros(0), 8000), "no samples"),
        (Sound(np.array([0, np.nan]), 8000), "NaN"),
        (Sound(np.array([0, np.inf]), 8000), "NaN or infinite"),
        (Sound(np.zeros(2), 192_000), "shorter than one sample"),
        (Sound(np.zeros(101), 1), r"data\.limits\.seconds"),
        (b"no sound", "damaged"),
        (np.zeros(8), "sampling_rate"),
    ],
)
def test_bad_cells_say_why(cell, words):
    good = tone(0.1)
    (bad,) = Wave(rate=8000, seconds=1).encode([cell], Limits(seconds=100))
    assert isinstance(bad, BadCell)
    with pytest.raises(BadCell, match=words):
        raise bad
    between = Wave(rate=8000, seconds=1).encode([good, cell, good], Limits(seconds=100))
    assert np.array_equal(between[0], between[2])
    assert str(between[1]) == str(bad)


@pytest.mark.parametrize(
    ("rates", "rate"), [([8000], 8000), ([44100], 16000), ([4000], 8000), ([11025, 11025, 48000], 11025), ([], 16000)]
)
def test_auto_rate_is_the_most_common_one_within_bounds(rates, rate):
    assert fitted([b"damaged", *(tone(0.1, r) for r in rates)]).facts() == {"rate": rate}


@pytest.mark.parametrize(("lengths", "seconds"), [([0.52], 0.6), ([0.5], 0.5), ([0.01], 0.1), ([30.0], 10.0)])
def test_auto_length_keeps_nearly_all(lengths, seconds):
    assert fitted([tone(length) for length in lengths]).seconds == pytest.approx(seconds)


def test_the_share_of_cropped_sounds_is_known():
    assert fitted([tone(0.5), tone(1.5), tone(0.5), tone(0.5)], seconds=1).cropped == 0.25
    assert fitted([tone(0.5)] * 10).cropped == 0


@pytest.mark.parametrize("crop", ["start", "centre"])
def test_state_survives_json(crop):
    made, again = fitted([tone(0.4, 11025)], crop=crop), Wave()
    again.restore(json.loads(json.dumps(made.state())))
    cells = [tone(0.3), tone(2.0, 44100)]
    assert again.state() == made.state()
    assert again.facts() == made.facts()
    assert all(
        np.array_equal(a, b) for a, b in zip(made.encode(cells, LIMITS), again.encode(cells, LIMITS), strict=True)
    )


def test_every_setting_is_part_of_the_state():
    states = [Wave(8000, 1).state(), Wave(16000, 1).state(), Wave(8000, 2).state(), Wave(8000, 1, "centre").state()]
    assert len({json.dumps(state) for state in states}) == 4


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_collate_pads_with_silence(lengths):
    made = Wave(rate=8000, seconds=1)
    fields = made.collate([np.full(length, -(2**15), np.int16) for length in lengths])
    assert fields["wave"].dtype == np.float32
    assert fields["wave"].shape == (len(lengths), max(lengths))
    assert fields["lengths"].tolist() == lengths
    assert fields["wave"].sum() == -sum(lengths)


def test_no_cell_is_a_moment_of_silence():
    made = Wave(rate=8000, seconds=1)
    assert made.collate([made.blank()])["wave"].sum() == 0
    assert len(made.blank()) == 800


@pytest.mark.parametrize(
    "keywords", [{"rate": 0}, {"rate": "high"}, {"seconds": -1}, {"seconds": float("nan")}, {"crop": "end"}]
)
def test_impossible_settings_are_refused(keywords):
    with pytest.raises(ValueError, match=next(iter(keywords))):
        Wave(**keywords)


def test_auto_needs_a_fit():
    with pytest.raises(RuntimeError, match="fit"):
        Wave().facts()


@pytest.mark.skipif(not (DATA / "fsdd").exists(), reason=f"needs {DATA}/fsdd (POLYFUSE_DATA)")
def test_spoken_digits_are_kept_whole():
    cells = [path.read_bytes() for path in sorted((DATA / "fsdd" / "recordings").glob("*.wav"))[::100]]
    made = fitted(cells)
    assert made.rate == 8000
    assert made.cropped < 0.05
    assert all(isinstance(array, np.ndarray) and array.any() for array in made.encode(cells, LIMITS))


@pytest.mark.skipif(not (DATA / "fights").exists(), reason=f"needs {DATA}/fights (POLYFUSE_DATA)")
def test_the_sound_of_videos_is_heard():
    pytest.importorskip("av")
    cells = [path.read_bytes() for path in sorted((DATA / "fights" / "clips").glob("*"))[::25]]
    made = fitted(cells)
    assert made.rate == 16000
    heard = made.encode(cells, LIMITS)
    assert any(isinstance(array, np.ndarray) for array in heard)
    assert all(isinstance(array, (np.ndarray, NothingHere)) for array in heard)  # some cameras are deaf
