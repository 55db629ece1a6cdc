"""Augmentation: same seed same change, same shapes and types, padding untouched, and errors that help."""

from __future__ import annotations

import builtins
import pickle
import random

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polyfuse.data import augment
from polyfuse.data.augment import build
from polyfuse.data.augment.build import PRESETS, STEPS


class Fitted:
    """What augmentation asks of a transform."""

    def __init__(self, photo: bool = False):
        self.photo = photo

    def facts(self) -> dict:
        return {"rate": 8000, "image_size": (16, 24)}


def fields_of(modality: str, rows: int = 6, seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 41, (rows,), generator=g)
    real = torch.arange(40) < lengths[:, None]
    return {
        "image": {"pixels": torch.randint(0, 256, (rows, 3, 16, 24), generator=g, dtype=torch.uint8)},
        "audio": {
            "wave": (torch.rand(rows, 800, generator=g) - 0.5) * real.repeat_interleave(20, 1),
            "lengths": lengths * 20,
        },
        "video": {
            "frames": torch.randint(0, 256, (rows, 5, 3, 16, 24), generator=g, dtype=torch.uint8),
            "times": torch.arange(5.0).expand(rows, 5),
            "lengths": torch.full((rows,), 5),
        },
        "text": {"ids": torch.randint(1, 99, (rows, 40, 3), generator=g) * real[..., None], "lengths": lengths},
        "columns": {"numbers": torch.randn(rows, 4, generator=g), "known": torch.rand(rows, 4, generator=g) < 0.5},
        "vector": {"x": torch.randn(rows, 4, generator=g)},
        "sequence": {"x": torch.randn(rows, 40, 4, generator=g), "lengths": lengths},
    }[modality]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


SETTINGS = [(modality, setting) for modality in PRESETS for setting in PRESETS[modality] if PRESETS[modality][setting]]
NAMED = [(modality, [{"name": name}]) for modality, steps in STEPS.items() for name in steps]
OUTSIDE = [
    ("image", [{"name": "RandomRotation", "degrees": [-15, 15], "p": 1.0}, {"name": "RandomGaussianNoise", "p": 1.0}]),
    (
        "image",
        [{"name": "RandomMotionBlur", "kernel_size": 3, "angle": 35.0, "direction": 0.5, "p": 1.0}, {"name": "flip"}],
    ),
    ("audio", [{"name": "AddGaussianSNR", "p": 1.0}, {"name": "gain"}]),
]


@pytest.mark.parametrize(("modality", "setting"), SETTINGS + NAMED + OUTSIDE)
def test_every_augmentation_is_seeded_and_keeps_shapes(modality, setting):
    if modality == "audio" and setting in [s for _, s in OUTSIDE]:
        pytest.importorskip("audiomentations")
    change, fields, kept = build(modality, setting, Fitted()), fields_of(modality), fields_of(modality)
    changed = change(fields, 3)
    assert same(fields, kept), "the fields given stay as they are"
    assert {k: (v.shape, v.dtype) for k, v in changed.items()} == {k: (v.shape, v.dtype) for k, v in fields.items()}
    assert same(changed, change(fields, 3))
    assert same(changed, change(fields, torch.Generator().manual_seed(3)))
    assert same(changed, pickle.loads(pickle.dumps(change))(fields, 3)), "worker processes get a copy"
    assert not same(changed, fields) or not same(change(fields, 4), fields)
    assert not same(change(fields, 4), change(fields, 5)) or not same(change(fields, 6), change(fields, 7))


def test_global_random_numbers_are_left_alone():
    pytest.importorskip("audiomentations")
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())
    for modality, setting in OUTSIDE:
        build(modality, setting, Fitted())(fields_of(modality), 1)
    after = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(states[0], after[0])
    assert states[1:] == after[1:]


@pytest.mark.parametrize("modality", PRESETS)
def test_none_is_none(modality):
    assert build(modality, "none") is None
    assert build(modality, []) is None


def test_numbers_are_not_changed_by_default():
    assert all(build(modality, "default") is None for modality in ("columns", "vector", "sequence"))


def test_only_photographs_are_mirrored_by_presets():
    marked = {"pixels": torch.zeros(64, 3, 16, 16, dtype=torch.uint8)}
    marked["pixels"][..., :3] = 200
    moved = {photo: build("image", "default", Fitted(photo))(marked, 0)["pixels"] for photo in (True, False)}
    assert (moved[True][..., -5:] > 0).any()
    assert not (moved[False][..., -5:] > 0).any()
    assert build("image", [{"name": "flip", "p": 1.0}], Fitted(False))(marked, 0)["pixels"][..., -3:].min() == 200


@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 1), st.integers(0, 999))
@example(1, 1, 1.0, 0)
@example(20, 3, 1.0, 0)
@settings(deadline=None)
def test_a_shifted_picture_is_made_of_its_own_pixels(height, width, share, seed):
    pixels = torch.arange(height * width, dtype=torch.int32).view(1, 1, height, width).expand(2, 3, -1, -1)
    moved = build("image", [{"name": "shift", "share": share}])({"pixels": pixels}, seed)["pixels"]
    assert moved.shape == pixels.shape
    assert ((moved >= 0) & (moved < height * width)).all()
    assert torch.equal(moved[:, 0], moved[:, 2]), "channels move together"
    rows, columns = moved[0, 0] // width, moved[0, 0] % width
    assert (rows.diff(dim=0).abs() <= 1).all(), "neighbours stay neighbours"
    assert (columns.diff(dim=1).abs() <= 1).all()


def test_a_shift_goes_up_to_its_share_in_all_directions():
    pixels = torch.zeros(400, 1, 16, 16, dtype=torch.uint8)
    pixels[:, :, 8, 8] = 1
    at = build("image", [{"name": "shift"}])({"pixels": pixels}, 0)["pixels"].nonzero()[:, 2:]
    assert at.amin(0).tolist() == [6, 6]
    assert at.amax(0).tolist() == [10, 10]


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.01, 1), st.integers(0, 999))
@settings(deadline=None)
def test_a_crop_keeps_the_order_of_pixels_and_their_share(height, width, least, seed):
    pixels = torch.arange(height * width, dtype=torch.int32).view(1, 1, height, width).expand(4, 3, -1, -1)
    cut = build("image", [{"name": "crop", "least": least}])({"pixels": pixels}, seed)["pixels"]
    assert torch.equal(cut[:, 0], cut[:, 2]), "channels move together"
    rows, columns = cut[:, 0] // width, cut[:, 0] % width
    assert ((cut >= 0) & (cut < height * width)).all()
    assert (rows.diff(dim=1) >= 0).all()
    assert (columns.diff(dim=2) >= 0).all()
    for kept, side in ((rows[:, -1, 0] - rows[:, 0, 0], height), (columns[:, 0, -1] - columns[:, 0, 0], width)):
        assert (kept + 2 >= least * side - 1e-3).all(), "no side smaller than its share, but for rounding"


def test_a_crop_of_everything_changes_nothing():
    fields = fields_of("image")
    assert same(build("image", [{"name": "crop", "least": 1.0}])(fields, 0), fields)


def test_light_changes_a_picture_as_a_whole_and_its_channels_a_little_apart():
    even = {"pixels": torch.full((400, 3, 2, 2), 100, dtype=torch.uint8)}
    lit = build("image", [{"name": "light", "brightness": 0.2, "tint": 0.05}])(even, 0)["pixels"]
    assert (lit == lit[:, :, :1, :1]).all()
    assert 75 <= lit.min() < 80
    assert 120 < lit.max() <= 126
    assert 0 < (lit[:, 0, 0, 0].int() - lit[:, 1, 0, 0].int()).abs().max() <= 12
    bright = {"pixels": torch.full((50, 3, 2, 2), 255, dtype=torch.uint8)}
    assert build("image", [{"name": "light"}])(bright, 0)["pixels"].max() == 255, "nothing wraps around"
    still = build("image", [{"name": "light", "brightness": 0.0, "tint": 0.0}])
    assert same(still(bright, 0), bright)


@given(st.integers(0, 999))
@settings(deadline=None, max_examples=30)
def test_padding_of_sounds_stays_silent(seed):
    fields = fields_of("audio", seed=seed)
    wave = build("audio", "strong", Fitted())(fields, seed)["wave"]
    beyond = torch.arange(wave.shape[1]) >= fields["lengths"][:, None]
    assert (wave[beyond] == 0).all()
    assert wave.abs().max() <= 1


def test_sounds_change_as_each_step_says():
    ones = {"wave": torch.ones(200, 100) / 4, "lengths": torch.full((200,), 100)}

    def silent(step: dict) -> torch.Tensor:
        return (build("audio", [step])(ones, 0)["wave"] == 0).sum(1)

    assert 1 < silent({"name": "shift", "share": 0.2}).max() <= 20
    assert 1 < silent({"name": "mask", "share": 0.3}).max() <= 30
    level = build("audio", [{"name": "gain", "decibels": 6.0}])(ones, 0)["wave"][:, 0]
    assert 0.125 <= level.min() < 0.15
    assert 0.4 < level.max() <= 0.5
    noise = build("audio", [{"name": "noise", "softest": 20, "loudest": 20, "p": 1.0}])(ones, 0)["wave"] - 0.25
    assert noise.std() == pytest.approx(0.025, rel=0.05)


def test_other_lengths_of_audiomentations_are_followed():
    pytest.importorskip("audiomentations")
    step = {"name": "TimeStretch", "min_rate": 1.2, "max_rate": 1.25, "leave_length_unchanged": False, "p": 1.0}
    fields = {"wave": torch.rand(3, 4000), "lengths": torch.tensor([4000, 3000, 2500])}
    changed = build("audio", [step], Fitted())(fields, 0)
    assert (changed["lengths"] < fields["lengths"]).all()
    assert changed["wave"].shape == fields["wave"].shape


@given(st.floats(0, 1), st.integers(0, 999), st.booleans())
@settings(deadline=None, max_examples=50)
def test_text_keeps_a_token_and_its_padding(share, seed, grouped):
    fields = fields_of("text", seed=seed)
    if not grouped:
        fields = {**fields, "ids": fields["ids"][..., 0]}
    ids = build("text", [{"name": "token_dropout", "share": share}])(fields, seed)["ids"]
    was, now = ((x != 0).reshape(*x.shape[:2], -1) for x in (fields["ids"], ids))
    assert torch.equal(ids[now.view_as(ids)], fields["ids"][now.view_as(ids)]), "a kept token stays as it was"
    assert torch.equal(now.any(-1), now.all(-1)), "a token goes as a whole"
    assert now.any(-1).any(-1).all(), "never all tokens"
    assert not (now & ~was).any()


def test_text_loses_the_share_it_should():
    fields = {"ids": torch.ones(500, 100, dtype=torch.long), "lengths": torch.full((500,), 100)}
    assert (build("text", "default")(fields, 0)["ids"] == 0).float().mean() == pytest.approx(0.1, abs=0.01)


def test_noise_leaves_whole_numbers_and_truth_values():
    fields = fields_of("columns")
    changed = build("columns", "strong")(fields, 0)
    assert torch.equal(changed["known"], fields["known"])
    assert (changed["numbers"] - fields["numbers"]).std() == pytest.approx(0.1, rel=0.5)


@pytest.mark.parametrize(
    ("modality", "setting", "words"),
    [
        ("imag", "default", "did you mean 'image'"),
        ("image", "stronk", "did you mean 'strong'"),
        ("image", [{"name": "RandomRotatoin"}], "did you mean 'RandomRotation'"),
        ("image", [{"name": "RandomMixUpV2"}], "unknown image augmentation"),
        ("image", [{"name": "RandomRotation", "degres": 5}], "RandomRotation.*degres"),
        ("image", [{"name": "shift", "share": 2}], "shift.*share=2"),
        ("image", [{"name": "crop", "least": 1.5}], "crop.*least=1.5"),
        ("image", [{"name": "light", "tint": -1}], "light.*tint=-1"),
        ("text", [{"name": "token_dropuot"}], "did you mean 'token_dropout'"),
        ("columns", [{"name": "noise", "deviation": -1}], "deviation"),
        ("image", ["flip"], "found 'flip'"),
        ("image", [{"p": 1}], "found {'p': 1}"),
    ],
)
def test_mistakes_are_explained(modality, setting, words):
    with pytest.raises(ValueError, match=words):
        build(modality, setting, Fitted())


def test_mistakes_in_names_of_audiomentations_are_explained():
    pytest.importorskip("audiomentations")
    with pytest.raises(ValueError, match="did you mean 'PitchShift'"):
        build("audio", [{"name": "PitchShfit"}], Fitted())


def test_steps_that_change_the_size_are_refused():
    change = build("image", [{"name": "RandomCrop", "size": [8, 8], "p": 1.0}], Fitted())
    with pytest.raises(ValueError, match=r"RandomCrop.*\(8, 8\).*\(16, 24\)"):
        change(fields_of("image"), 0)


@pytest.mark.parametrize(
    ("modality", "package", "extra"), [("audio", "audiomentations", "augment"), ("image", "kornia", "train")]
)
def test_absent_packages_are_named_with_their_install_line(monkeypatch, modality, package, extra):
    real = builtins.__import__

    def absent(name, *rest, **kwargs):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=rf"{package}.*pip install 'polyfuse\[{extra}\]'"):
        build(modality, [{"name": "Anything"}], Fitted())
    assert isinstance(build(modality, "default", Fitted()), augment.Augmentation), "ours do without"
