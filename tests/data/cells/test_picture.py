"""Decoding one picture: every mode and array gives the right colours, and every bad file a reason."""

from __future__ import annotations

import io
import struct
import time
import warnings
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from polyfuse.data.cells.picture import decode, describe
from polyfuse.data.cells.source import BadCell, Limits, Sound, load_media


def file_of(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def header_only(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing of it."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"")]
    framed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def test_an_opaque_picture_is_kept_exactly():
    array = noise(5, 7)
    assert np.array_equal(np.asarray(decode(file_of(Image.fromarray(array)))), array)
    assert np.array_equal(np.asarray(decode(array)), array)
    assert np.array_equal(np.asarray(decode(array.transpose(2, 0, 1))), array)


@pytest.mark.parametrize("value", [0, 1, 77, 254, 255])  # black, white and what lies between, exactly
def test_every_mode_shows_the_same_grey(value):
    modes = {
        "L": value,
        "RGB": (value,) * 3,
        "LA": (value, 255),
        "RGBA": (value, value, value, 255),
        "I;16": value * 257,
    }
    files = [file_of(Image.new(mode, (4, 3), fill)) for mode, fill in modes.items()]
    files += [file_of(Image.new("CMYK", (4, 3), (0, 0, 0, 255 - value)), "TIFF")]
    files += [file_of(Image.new("F", (4, 3), value / 255), "TIFF")]
    files += [file_of(Image.new("L", (4, 3), value), kind) for kind in ("BMP", "GIF", "PPM", "TIFF")]
    arrays = [np.full((3, 4), value, kind) for kind in (np.uint8, np.int64)]
    arrays += [np.full((3, 4), value * 257, np.uint16), np.full((3, 4), value * 257, ">u2")]
    arrays += [np.full((3, 4, 1), value / 255, kind) for kind in (np.float16, np.float32, np.float64)]
    for content in files + arrays:
        image = decode(content)
        assert image.mode == "RGB"
        assert image.size == (4, 3)
        assert (np.asarray(image) == value).all()


def test_transparency_lies_on_white():
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    palette = Image.new("P", (2, 2), 0)
    files = [file_of(clear), file_of(Image.new("LA", (2, 2), (0, 0))), file_of(palette, transparency=0)]
    files += [file_of(Image.new("RGB", (2, 2)), transparency=(0, 0, 0)), file_of(clear, "WEBP", lossless=True)]
    for content in files:
        assert np.asarray(decode(content)).min() == 255
        assert np.asarray(decode(load_media(Image.open(io.BytesIO(content))))).min() == 255
    half = np.asarray(decode(file_of(Image.new("RGBA", (1, 1), (0, 0, 0, 128)))))
    assert np.abs(half.astype(int) - 127).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_camera_orientation_is_applied(orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(Image.fromarray(noise(4, 6)), "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert np.array_equal(np.asarray(decode(content)), np.asarray(expected))
    assert np.array_equal(np.asarray(decode(load_media(Image.open(io.BytesIO(content))))), np.asarray(expected))


def test_of_an_animation_the_first_frame_counts():
    first, second = Image.new("RGB", (3, 3), "red"), Image.new("RGB", (3, 3), "blue")
    for kind in ("GIF", "PNG", "WEBP"):
        content = file_of(first, kind, save_all=True, append_images=[second], lossless=True)
        assert np.asarray(decode(content))[0, 0].tolist() == [255, 0, 0]


def test_a_bomb_costs_nothing_and_says_its_size():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's own warning must not reach the user
        for read in (describe, decode):
            begun = time.perf_counter()
            with pytest.raises(BadCell, match=r"20,000 x 20,000 .* 100,000,000 \(data\.limits\.pixels\)"):
                read(header_only(20_000, 20_000), Limits())
            assert time.perf_counter() - begun < 1


def test_the_limit_is_ours_alone():
    kept = Image.MAX_IMAGE_PIXELS
    assert describe(header_only(20_000, 20_000), Limits(pixels=400_000_000))[:2] == (20_000, 20_000)
    assert describe(header_only(10, 10), Limits(pixels=100)) == (10, 10, "RGB")
    with pytest.raises(BadCell, match="limit of 99"):
        describe(np.zeros((10, 10), np.uint8), Limits(pixels=99))
    assert kept == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
@given(share=st.floats(0, 0.9))
@settings(max_examples=15, deadline=None)
def test_a_file_cut_short_is_bad(kind, share):
    content = file_of(Image.fromarray(noise(32, 32)), kind)
    with pytest.raises(BadCell) as caught:
        decode(content[: int(len(content) * share)])
    assert "0x" not in str(caught.value), "the address of a buffer tells nobody anything"


@given(st.binary(max_size=60), st.integers(0, 400), st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP"]))
@settings(max_examples=200, deadline=None)
def test_damage_gives_a_picture_or_a_reason(damage, at, kind):
    content = bytearray(file_of(Image.fromarray(noise(12, 9)), kind))
    content[at : at + len(damage)] = damage
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(BadCell):
            assert decode(bytes(content)).mode == "RGB"


@pytest.mark.parametrize("content", [b"", b"no picture", b"<svg xmlns='x'/>", Sound(np.zeros(3), 8000)])
def test_what_is_no_picture_says_so(content):
    with pytest.raises(BadCell, match="picture"):
        decode(content)


def test_programs_are_not_run():
    content = file_of(Image.new("RGB", (4, 4)), "EPS")
    with pytest.raises(BadCell, match="PNG"):
        decode(content)


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.bool_, np.uint16, np.int32, np.float32, np.float64, np.complex64, object]),
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6),
    )
)
@settings(deadline=None)
def test_any_array_gives_its_shape_or_a_reason(array):
    try:
        width, height, _ = describe(array)
        image = decode(array)
    except BadCell:
        return
    assert image.mode == "RGB"
    assert image.size == (width, height)
    assert width in array.shape
    assert height in array.shape


@pytest.mark.parametrize("values", [[0.0, np.nan], [0, np.inf], [-1.0, 1.0], [0, 256], [-1, 255]])
def test_values_out_of_range_are_refused(values):
    with pytest.raises(BadCell, match="expected 0 to 1"):
        decode(np.array([values]))
