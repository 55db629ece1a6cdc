"""Pictures and sounds as targets: sizes and rates are chosen, odd cells are refused, and the way back is exact."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import soundfile
from PIL import Image as Pillow

from polyfuse.data.cells.media_files import encode_media
from polyfuse.data.cells.source import BadCell, Limits, Sound
from polyfuse.data.cells.target_audio import Audio
from polyfuse.data.cells.target_image import Image

RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "size", "channels"),
    [((28, 28), (28, 28), 1), ((30, 40, 3), (32, 32), 3), ((5, 5), (8, 8), 1), ((900, 700, 3), (64, 64), 3)],
)
def test_size_and_colour_follow_the_training_pictures(shape, size, channels):
    transform = Image()
    transform.fit([noise(*shape) for _ in range(3)], {"picture": "image"}, Limits())
    assert transform.facts() == {"image_size": size, "channels": channels}
    assert any(f"{size[0]} x {size[1]} pixels" in note for note in transform.notes)
    assert any("64 is the most" in note for note in transform.notes) == (shape[0] > 64)
    again = Image()
    again.restore(json.loads(json.dumps(transform.state())))
    assert again.facts() == transform.facts()
    assert np.array_equal(again.encode([noise(*shape) * 0], Limits())[0], transform.blank())


def test_pictures_of_the_size_come_back_as_they_were():
    grey, colour = noise(28, 28), noise(28, 28, 3)
    for mode, picture in (("grey", grey), ("colour", colour)):
        transform = Image(28, mode)
        transform.fit([picture], {"y": "image"}, Limits())
        cells = transform.encode([picture], Limits())
        assert np.array_equal(transform.decode(cells)[0], picture)
        assert transform.collate(cells)["pixels"].shape == (1, 1 if mode == "grey" else 3, 28, 28)


def test_one_colour_everywhere_is_said_and_a_broken_picture_is_none():
    transform = Image()
    transform.fit([np.full((16, 16), 7, np.uint8)] * 3, {"y": "image"}, Limits())
    assert any("the same" in note for note in transform.notes)
    good, bad = transform.encode([noise(16, 16), b"no picture"], Limits())
    assert isinstance(bad, BadCell)
    assert good.shape == (16, 16, 1)
    with pytest.raises(ValueError, match="no training picture can be read"):
        Image().fit([b"none"], {"y": "image"}, Limits())


@pytest.mark.parametrize(
    ("options", "words"), [({"size": 30}, "such as 32"), ({"size": 128}, "8 to 64"), ({"mode": "red"}, "mode")]
)
def test_sizes_that_cannot_be_made_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        Image(**options)


def tone(seconds: float, rate: int = 8000) -> Sound:
    return Sound(0.5 * np.sin(np.arange(round(seconds * rate)) * 0.3).astype(np.float32), rate)


def test_rate_and_length_follow_the_training_sounds():
    for rate, expected in ((8000, 8000), (11025, 8000), (44100, 16000)):
        transform = Audio()
        transform.fit([tone(0.3, rate), tone(0.5, rate)], {"y": "audio"}, Limits())
        assert transform.facts()["mel"]["rate"] == expected
        assert transform.sound.seconds == pytest.approx(0.5)
        again = Audio()
        again.restore(json.loads(json.dumps(transform.state())))
        assert again.facts() == transform.facts()
        cells = transform.encode([tone(0.3, rate)], Limits())
        for one, other in zip(*(t.collate(cells).values() for t in (transform, again)), strict=True):
            assert np.array_equal(one, other)


def test_frames_are_standardised_and_padded():
    transform = Audio()
    sounds = [tone(0.3), tone(0.5), Sound(RNG.normal(0, 0.1, 3000), 8000)]
    transform.fit(sounds, {"y": "audio"}, Limits())
    fields = transform.collate(transform.encode(sounds, Limits()))
    assert fields["frames"].shape == (3, fields["lengths"].max(), 64)
    assert (fields["frames"][0, fields["lengths"][0] :] == 0).all()
    real = np.concatenate([f[:n] for f, n in zip(fields["frames"], fields["lengths"], strict=True)])
    assert np.abs(real.mean(0)).max() < 1e-4


def test_sounds_of_no_length_are_none_and_long_ones_are_cut():
    transform = Audio(seconds=0.4)
    transform.fit([tone(0.3), tone(2.0)], {"y": "audio"}, Limits())
    assert any("50% of the training sounds are longer than 0.4 s and" in note for note in transform.notes)
    empty, long = transform.encode([Sound(np.zeros(0, np.float32), 8000), tone(2.0)], Limits())
    assert isinstance(empty, BadCell)
    assert len(long) == 3200
    with pytest.raises(ValueError, match="no training sound can be heard"):
        Audio().fit([b"none"], {"y": "audio"}, Limits())


def test_files_hold_what_was_made():
    picture = noise(9, 7, 3)
    ending, content = encode_media(picture)
    assert ending == ".png"
    assert np.array_equal(np.asarray(Pillow.open(io.BytesIO(content))), picture)
    ending, content = encode_media({"array": np.array([0.0, 2.0, -0.5], np.float32), "sampling_rate": 8000})
    samples, rate = soundfile.read(io.BytesIO(content))
    assert (ending, rate) == (".wav", 8000)
    assert samples == pytest.approx([0, 1, -0.5], abs=1e-4)
    assert encode_media("text") is None
    assert encode_media(3.0) is None
