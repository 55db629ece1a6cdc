"""Cells of every kind are shown small; broken ones give their reason and never an exception."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from polyfuse.evaluation.previews import CHARACTERS, RATE, SECONDS, SIDE, preview_cell


def opened(shown) -> Image.Image:
    return Image.open(io.BytesIO(shown.data))


def test_a_photo_becomes_a_small_jpeg(tmp_path, write_image):
    path = write_image(tmp_path / "photo.png", (800, 400))
    shown = preview_cell("image", path.name, tmp_path)
    assert opened(shown).format == "JPEG"
    assert opened(shown).size == (SIDE, SIDE // 2)
    assert len(shown.data) < path.stat().st_size / 4


def test_a_tiny_picture_is_enlarged_without_blur():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    large = np.asarray(opened(preview_cell("image", pixels)))[..., 0]
    times = large.shape[0] // 8
    assert times > 1
    np.testing.assert_array_equal(large, np.kron(pixels, np.ones((times, times), dtype=np.uint8)))


def test_a_long_stereo_sound_becomes_seconds_of_mono(tmp_path, write_sound):
    path = write_sound(tmp_path / "sound.wav", seconds=SECONDS + 3, rate=44_100, channels=2)
    samples, rate = soundfile.read(io.BytesIO(preview_cell("audio", path.name, tmp_path).data))
    assert rate == RATE
    assert samples.shape == (pytest.approx(SECONDS * RATE, abs=2),)


def test_a_short_sound_keeps_its_samples():
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 800).astype(np.float32)
    shown = preview_cell("audio", {"array": samples, "sampling_rate": 8000})
    back, rate = soundfile.read(io.BytesIO(shown.data))
    assert rate == 8000
    np.testing.assert_allclose(back, samples, atol=1e-4)


@pytest.mark.parametrize(
    ("modality", "value", "kind", "data"),
    [
        ("text", "比三大的奇数", "text", "比三大的奇数"),
        ("text", "x" * 1000, "text", "x" * (CHARACTERS - 1) + "…"),
        ("text", ["two", "words"], "text", "two, words"),
        ("category", 5, "text", "5"),
        ("number", 2001, "number", "2001"),
        ("number", np.float64(2001), "number", "2001"),
        ("number", 5.5, "number", "5.5"),
        ("number", 1e300, "number", "1e+300"),
        ("number", float("inf"), "number", "inf"),
        ("vector", np.zeros(100), "text", "100 numbers"),
        ("sequence", np.zeros((7, 3)), "text", "7 x 3 numbers"),
        ("image", None, "missing", ""),
        ("text", "  ", "missing", ""),
        ("number", float("nan"), "missing", ""),
    ],
)
def test_other_cells(modality, value, kind, data):
    assert (preview_cell(modality, value).kind, preview_cell(modality, value).data) == (kind, data)


@pytest.mark.parametrize("modality", ["image", "audio"])
@pytest.mark.parametrize("value", [b"garbage", "no such file.bin", 7, "https://example.org/x.png"])
def test_broken_media_give_the_reason(modality, value):
    shown = preview_cell(modality, value)
    assert shown.kind == "broken"
    assert shown.data


def test_a_video_is_a_film_strip_over_a_line_of_time():
    frames = np.stack([np.full((40, 60, 3), 20 * n, np.uint8) for n in range(12)])
    shown = preview_cell("video", frames)
    assert shown.kind == "film"
    strip = np.asarray(Image.open(io.BytesIO(shown.data)).convert("L"))
    assert strip.shape[0] == 112
    wide = strip.shape[1] // 6
    levels = [strip[40, at * wide + wide // 2] for at in range(6)]
    assert levels == sorted(levels)
    assert strip[98:].min() < 120  # the times are written below
    assert preview_cell("video", b"nothing").kind == "broken"
