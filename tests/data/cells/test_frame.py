"""Places follow a picture through orientation, resize, crop and padding, and come back, to the pixel."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from polyfuse.data.augment import build
from polyfuse.data.cells.frame import FITS, Frame, PictureSize, inverse, move_boxes, sample
from polyfuse.data.cells.image import Pixels
from polyfuse.data.cells.picture import measure
from polyfuse.data.cells.source import Limits

BOX = (6, 10, 12, 8)  # x, y, width, height


def planted(height=40, width=60, box=BOX):
    """A black picture with a white box."""
    pixels = np.zeros((height, width, 3), np.uint8)
    x, y, w, h = box
    pixels[y : y + h, x : x + w] = 255
    return pixels


def as_file(pixels, orientation=1):
    file, note = io.BytesIO(), Image.Exif()
    note[0x0112] = orientation
    Image.fromarray(pixels).save(file, "PNG", exif=note)
    return file.getvalue()


def found_box(pixels_HW):
    """The box of what is white."""
    rows, columns = np.flatnonzero((pixels_HW > 127).any(1)), np.flatnonzero((pixels_HW > 127).any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]], float)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", FITS)
def test_a_planted_box_follows_the_camera_and_the_frame_to_the_pixel(orientation, fit):
    content = as_file(planted(), orientation)
    transform = Pixels((40, 40), fit, resample="nearest")
    (pixels,) = transform.encode([content], Limits())
    size = measure(content)
    assert size == PictureSize(40, 60, orientation)
    matrix = transform.frame().matrix(size)
    expected = move_boxes(np.array([BOX], float), matrix)[0]
    corner, end = expected[:2].clip(0, 40), (expected[:2] + expected[2:]).clip(0, 40)
    seen = found_box(pixels[..., 0])
    assert np.abs(seen[:2] - corner).max() <= 0.5 + 1e-6
    assert np.abs(seen[:2] + seen[2:] - end).max() <= 0.5 + 1e-6
    assert np.allclose(move_boxes(expected[None], inverse(matrix))[0], BOX)
    upright = np.asarray(Image.open(io.BytesIO(as_file(np.asarray(_turned(content))))))
    assert np.allclose(
        move_boxes(found_box(upright[..., 0])[None], transform.frame().matrix(size, "upright"))[0], expected
    )


def _turned(content):
    from PIL import ImageOps

    return ImageOps.exif_transpose(Image.open(io.BytesIO(content)))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(1, 8), st.sampled_from(FITS), st.integers(4, 50),
    st.integers(4, 50), st.none() | st.integers(50, 80),
)  # fmt: skip
def test_there_and_back(height, width, orientation, fit, tall, wide, resize):
    frame = Frame(tall, wide, fit, resize if fit == "crop" else None)
    again = Frame.from_json(frame.to_json())
    assert again == frame
    matrix = again.matrix(PictureSize(height, width, orientation))
    boxes = np.random.default_rng(0).uniform(0, 20, (5, 4))
    assert np.allclose(move_boxes(move_boxes(boxes, matrix), inverse(matrix)), boxes)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_seen_as_its_picture_is(orientation):
    pixels = planted(40, 60)
    transform = Pixels((20, 30), "squash", resample="nearest")
    (seen,) = transform.encode([as_file(pixels, orientation)], Limits())
    own = sample(pixels[..., 0], transform.frame().matrix(PictureSize(40, 60, orientation)), (20, 30), 7)
    assert np.array_equal(own, seen[..., 0])


@pytest.mark.parametrize("steps", [["shift"], ["flip"], ["crop"], ["shift", "flip"], ["flip", "crop", "shift"]])
def test_a_planted_box_follows_every_step_of_augmentation(steps):
    pixels = torch.from_numpy(np.stack([planted(64, 64, (20, 24, 16, 12))] * 20)).permute(0, 3, 1, 2)
    change = build("image", [{"name": name} for name in steps], placed=True)
    fields = change({"pixels": pixels}, 3)
    assert (fields["pixels"] != pixels).any()
    for seen, (sx, ox, sy, oy) in zip(fields["pixels"][:, 0].numpy(), fields["moved"].tolist(), strict=True):
        matrix = np.array([[sx, 0, ox], [0, sy, oy]])
        expected = move_boxes(np.array([[20, 24, 16, 12]], float), matrix)[0]
        least = 1e-4 if "crop" not in steps else 1.0
        assert np.abs(found_box(seen) - expected).max() <= least


def test_what_boxes_cannot_follow_is_refused_or_left_out():
    pytest.importorskip("kornia")
    with pytest.raises(ValueError, match="'RandomRotation' moves pixels in a way that boxes and masks cannot follow"):
        build("image", [{"name": "RandomRotation", "degrees": 10}], placed=True)
    strong = build("image", "strong", placed=True)
    assert "moved" in strong({"pixels": torch.zeros(2, 3, 16, 16, dtype=torch.uint8)}, 0)
