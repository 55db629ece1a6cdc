"""The transform of image columns: sizes, fits, state, and the pixels of Hugging Face's processors."""

from __future__ import annotations

import importlib
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from polyfuse.data.cells.image import FITS, Pixels, from_processor
from polyfuse.data.cells.source import BadCell, Limits

LIMITS = Limits()
SIDES = st.integers(1, 60)
KEYWORDS = st.fixed_dictionaries(
    {
        "size": st.one_of(st.integers(1, 40), st.tuples(st.integers(1, 40), st.integers(1, 40))),
        "fit": st.sampled_from(FITS),
        "resample": st.sampled_from(["nearest", "bilinear", "bicubic", 1]),
    }
)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def gradient(height: int, width: int) -> np.ndarray:
    """A colourful picture of many colours."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * y / height, 255 * x / width, 255 * (x + y) / (height + width)], -1).astype(np.uint8)


def fitted(cells: list, **keywords) -> Pixels:
    made = Pixels(**keywords)
    made.fit(cells, {"photo": "image"}, LIMITS)
    return made


@given(SIDES, SIDES, KEYWORDS)
@settings(deadline=None)
def test_every_picture_gets_the_size(height, width, keywords):
    made = Pixels(**keywords)
    (array,) = made.encode([picture(height, width)], LIMITS)
    size = keywords["size"] if isinstance(keywords["size"], tuple) else (keywords["size"],) * 2
    assert made.facts() == {"image_size": size}
    assert array.shape == (*size, 3) == made.blank().shape
    assert array.dtype == np.uint8 == made.blank().dtype


@given(KEYWORDS)
@settings(deadline=None, max_examples=30)
def test_state_survives_json(keywords):
    made, again = fitted([picture(9, 9)], **keywords), Pixels()
    again.restore(json.loads(json.dumps(made.state())))
    cells = [picture(5, 30), picture(30, 5)]
    assert again.state() == made.state()
    assert again.facts() == made.facts()
    assert all(
        np.array_equal(a, b) for a, b in zip(made.encode(cells, LIMITS), again.encode(cells, LIMITS), strict=True)
    )


def test_every_setting_is_part_of_the_state():
    ways = [{}, {"fit": "crop"}, {"fit": "pad"}, {"resample": "bicubic"}, {"size": (8, 9)}]
    ways += [{"fit": "crop", "resize": 12}, {"fit": "crop", "resize": (12, 10)}]
    states = [json.dumps(Pixels(**{"size": 8, **way}).state()) for way in ways]
    assert len(set(states)) == len(ways), "stores of decoded pictures are told apart by the state"


def test_a_cell_does_not_depend_on_its_neighbours():
    made = Pixels(size=8)
    cells = [picture(20, 10), b"damaged", picture(7, 31)]
    together = made.encode(cells, LIMITS)
    assert isinstance(together[1], BadCell)
    for cell, array in zip(cells, together, strict=True):
        (alone,) = made.encode([cell], LIMITS)
        assert str(alone) == str(array) if isinstance(array, BadCell) else np.array_equal(alone, array)


def test_collate_stacks_channels_first():
    made = Pixels(size=(6, 4))
    cells = made.encode([picture(9, 9, seed) for seed in range(3)], LIMITS)
    fields = made.collate(cells)
    assert fields["pixels"].flags.c_contiguous
    assert np.array_equal(fields["pixels"], np.stack(cells).transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("sides", "size"), [([28], 32), ([20], 24), ([5], 16), ([500], 96), ([40, 40, 90], 40), ([72, 8, 72], 72)]
)
def test_auto_follows_the_shorter_side(sides, size):
    assert fitted([picture(side, side + 30) for side in sides]).facts() == {"image_size": (size, size)}
    assert fitted([picture(side, side) for side in sides], largest=64).size == (min(size, 64),) * 2


def test_damaged_cells_do_not_stop_the_fit():
    assert fitted([b"damaged", picture(40, 50)]).size == (40, 40)
    assert fitted([b"damaged"]).size == (16, 16)


def test_auto_needs_a_fit_and_a_given_size_does_not():
    with pytest.raises(RuntimeError, match="fit"):
        Pixels().facts()
    assert fitted([picture(40, 40)], size=7).size == (7, 7)


def test_photographs_are_told_from_drawings_and_digits():
    grey = np.repeat(gradient(128, 128)[..., :1], 3, axis=2)
    flat = np.kron(picture(4, 4), np.ones((32, 32, 1), np.uint8))
    assert fitted([gradient(128, 128)]).photo
    assert fitted([gradient(128, 200), gradient(128, 128), grey]).photo
    assert not fitted([grey]).photo
    assert not fitted([flat]).photo
    assert not fitted([gradient(64, 200)]).photo
    assert not Pixels(size=8).photo
    again = Pixels()
    again.restore(fitted([gradient(128, 128)]).state())
    assert again.photo


def test_fits_treat_the_aspect_ratio_as_they_say():
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255  # a white square in the middle
    squash, crop, pad = (Pixels(size=12, fit=fit, resample="nearest").encode([wide], LIMITS)[0] for fit in FITS)
    assert crop.min() == 255
    assert (squash[:, 4:8] == 255).all()
    assert squash.mean() == 85
    assert (pad[4:8, 4:8] == 255).all()
    assert pad.mean() == 255 * 16 / 144


def test_a_long_strip_does_not_grow_without_bound():
    (array,) = Pixels(size=64, fit="crop").encode([np.zeros((1, 50_000), np.uint8)], LIMITS)
    assert "data.limits.pixels" in str(array)
    assert Pixels(size=64, fit="pad").encode([np.zeros((1, 50_000), np.uint8)], LIMITS)[0].shape == (64, 64, 3)


@pytest.mark.parametrize(
    "keywords",
    [
        *({"size": size} for size in (0, -1, (1, 2, 3), (0, 4), "large", 1.5, None)),
        *({"fit": "crop", "resize": resize} for resize in (0, (1, 2, 3), "large")),
        *({"resample": resample} for resample in ("cubic", 9)),
        {"fit": "stretch"},
        {"resize": 8},
        *({"largest": largest} for largest in (15, "x")),
    ],
)
def test_impossible_settings_are_refused(keywords):
    with pytest.raises(ValueError, match=next(reversed(keywords))):
        Pixels(**keywords)


def processor(model: str, kind: str, **keywords):
    module = importlib.import_module(f"transformers.models.{model}.image_processing_pil_{model}")
    return getattr(module, f"{kind}ImageProcessorPil")(do_rescale=False, do_normalize=False, **keywords)


PROCESSORS = {
    "clip": ("clip", "CLIP", {}),
    "clip, crop beyond the picture": ("clip", "CLIP", {"size": {"shortest_edge": 30}, "crop_size": 57}),
    "clip, small": ("clip", "CLIP", {"size": {"shortest_edge": 40}, "crop_size": {"height": 31, "width": 22}}),
    "vit": ("vit", "ViT", {}),
    "vit, oblong": ("vit", "ViT", {"size": {"height": 30, "width": 50}, "resample": 3}),
    "deit": ("deit", "DeiT", {"size": {"height": 64, "width": 64}, "crop_size": {"height": 56, "width": 56}}),
    "dinov2": ("bit", "Bit", {"size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 56}}),
    "beit": ("beit", "Beit", {"size": {"height": 32, "width": 32}}),
    "siglip": ("siglip", "Siglip", {}),
    "mobilenet": ("mobilenet_v2", "MobileNetV2", {}),
    "convnext, cropped": ("convnext", "ConvNext", {"size": {"shortest_edge": 56}}),
    "convnext, squashed": ("convnext", "ConvNext", {"size": {"shortest_edge": 384}}),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_equal_those_of_the_processor(name):
    model, kind, keywords = PROCESSORS[name]
    theirs = processor(model, kind, **keywords)
    config = json.loads(theirs.to_json_string())
    made = Pixels(**json.loads(json.dumps(from_processor(config))))
    for height, width in ((60, 60), (57, 131), (301, 83), (20, 17)):
        array = picture(height, width)
        expected = theirs(Image.fromarray(array), return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
        (ours,) = made.encode([array], LIMITS)
        assert ours.shape == expected.shape
        assert np.array_equal(ours, expected)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(4, 40), st.integers(4, 40))
@settings(deadline=None, max_examples=60)
def test_clip_steps_hold_for_any_picture(height, width, edge, crop):
    theirs = processor("clip", "CLIP", size={"shortest_edge": edge}, crop_size={"height": crop, "width": crop})
    array = picture(height, width)
    expected = theirs(Image.fromarray(array), return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    (ours,) = Pixels(**from_processor(theirs.to_dict())).encode([array], LIMITS)
    assert np.array_equal(ours, expected)


def test_configs_of_older_releases_are_read_by_their_type():
    old = {"size": 224, "crop_size": 200, "do_center_crop": True, "resample": 3}
    assert from_processor({**old, "feature_extractor_type": "CLIPFeatureExtractor"})["resize"] == 224
    assert from_processor({**old, "feature_extractor_type": "DeiTFeatureExtractor"})["resize"] == [224, 224]
    assert from_processor({"size": 8, "resample": 2, "image_processor_type": "ViTImageProcessorFast"}) == {
        "size": [8, 8],
        "fit": "squash",
        "resample": 2,
    }


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"image_processor_type": "Siglip2ImageProcessor"}, "Siglip2ImageProcessor"),
        ({"size": 8, "resample": 2, "do_flip_channel_order": True}, "do_flip_channel_order"),
        ({"size": 8, "resample": 2, "do_resize": False}, "do_resize"),
        ({"size": 8}, "resample"),
        ({"resample": 2}, "size"),
        ({"size": {"shortest_edge": 8}, "resample": 2}, "several sizes"),
        ({"size": {"shortest_edge": 8, "longest_edge": 9}, "resample": 2}, "size"),
    ],
)
def test_processors_with_other_steps_are_refused(config, words):
    with pytest.raises(ValueError, match=words):
        from_processor(config)


@pytest.mark.parametrize("as_array", [False, True])
def test_twelve_bits_in_sixteen_are_scaled_by_what_is_used_and_it_is_said(as_array):
    ramp = np.linspace(0, 4095, 256).astype(np.uint16).reshape(16, 16)
    file = io.BytesIO()
    Image.fromarray(ramp).save(file, "PNG")
    cell = ramp if as_array else file.getvalue()
    made, again = Pixels(size=16), Pixels(size=16)
    made.fit([cell, (ramp // 2) if as_array else cell], {"scan": "image"}, Limits())
    again.restore(json.loads(json.dumps(made.state())))
    assert made.notes == ["column 'scan': pictures of 16 bits use 12 of them: white is 4,095"]
    for fitted in (made, again):
        (pixels,) = fitted.encode([cell], Limits())
        assert np.abs(pixels[..., 0].ravel().astype(int) - np.arange(256)).max() <= 1
        (bright,) = fitted.encode([np.full((16, 16), 60_000, np.uint16)], Limits())  # brighter than any in training
        assert (bright == 255).all()


def test_sixteen_bits_that_are_used_keep_their_scale():
    made = Pixels(size=16)
    made.fit([np.full((16, 16), 40_000, np.uint16), np.full((16, 16, 3), 9, np.uint8)], {"scan": "image"}, Limits())
    assert (made.notes, made.white) == ([], 65_535)
