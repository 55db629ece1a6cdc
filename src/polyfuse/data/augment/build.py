"""Build an augmentation from a recipe's setting: steps by name, the package's own, kornia's or audiomentations'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from polyfuse import registry
from polyfuse.data.augment import audio, image, outside, values, video

Fields = dict[str, Tensor]
Step = Callable[[Fields, torch.Generator], Fields]
Named = dict[str, Any]

STEPS: dict[str, dict[str, type]] = {
    "image": {"shift": image.Shift, "flip": image.Flip, "crop": image.Crop, "light": image.Light},
    "audio": {"shift": audio.Shift, "gain": audio.Gain, "mask": audio.Mask, "noise": audio.Noise},
    "video": {"shift": video.Shift, "flip": video.Flip, "crop": video.Crop},
    "text": {"token_dropout": values.TokenDropout},
    "columns": {"noise": values.Noise},
    "vector": {"noise": values.Noise},
    "sequence": {"noise": values.Noise},
}

OUTSIDE: dict[str, type[outside.Kornia] | type[outside.Audiomentations]] = {
    "image": outside.Kornia,
    "audio": outside.Audiomentations,
}

PRESETS: dict[str, dict[str, list[Named]]] = {
    "image": {
        "default": [{"name": "shift"}, {"name": "flip"}],
        "strong": [
            {"name": "shift"},
            {"name": "flip"},
            {"name": "ColorJitter", "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05, "p": 0.8},
            {"name": "RandomRotation", "degrees": 10, "p": 0.5},
            {"name": "RandomErasing", "p": 0.25},
        ],
    },
    "audio": {
        "default": [{"name": "shift"}, {"name": "gain"}, {"name": "mask"}],
        "strong": [{"name": "shift"}, {"name": "gain"}, {"name": "mask"}, {"name": "noise"}],
    },
    "video": {
        "default": [{"name": "shift"}, {"name": "flip"}],
        "strong": [{"name": "crop"}, {"name": "shift"}, {"name": "flip"}],
    },
    "text": {"default": [{"name": "token_dropout"}], "strong": [{"name": "token_dropout", "share": 0.2}]},
    "columns": {"default": [], "strong": [{"name": "noise"}]},
    "vector": {"default": [], "strong": [{"name": "noise"}]},
    "sequence": {"default": [], "strong": [{"name": "noise"}]},
}


TURNING = ("RandomRotation",)  # steps of presets that boxes cannot follow


@dataclass(frozen=True)
class Augmentation:
    """Steps in order. The fields given stay as they are; the same seed gives the same result.

    Args:
        steps: each changes fields with random numbers from a generator.
        placed: say in the field ``moved`` (U, 4) where each picture went: scale and offset along x, then along y, by
            which a pixel's place before becomes its place after.
        draw: chooses among what a transform keeps of a cell, before the steps; None where it keeps no more.
    """

    steps: tuple[Step, ...]
    placed: bool = False
    draw: Step | None = None

    def drawn(self, fields: Fields, seed: int) -> Fields:
        """Of fields with all that is kept of each cell (``collate_to_draw``) what this step of training sees."""
        assert self.draw is not None
        with torch.no_grad():
            return self.draw(fields, torch.Generator().manual_seed(seed))

    def __call__(self, fields: Fields, seed: int | torch.Generator) -> Fields:
        """Changed fields, of the same shapes and types."""
        if self.placed:
            still_4 = fields["pixels"].new_tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float32)
            fields = {**fields, "moved": still_4.repeat(len(fields["pixels"]), 1)}
        generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for step in self.steps:
                fields = step(fields, generator)
        return fields


def build(
    modality: str, setting: str | Sequence[Named], transform: Any = None, *, placed: bool = False
) -> Augmentation | None:
    """Build the augmentation of a setting, or return None where it asks for nothing.

    Args:
        modality: of the input: ``image``, ``audio``, ``video``, ``text``, ``columns``, ``vector`` or ``sequence``.
        setting: ``"none"``; ``"default"``, cheap and safe for most data; ``"strong"``, for small tables and long
            training; or steps by name with their keywords, such as
            ``[{"name": "flip"}, {"name": "RandomRotation", "degrees": 15, "p": 0.5}]``.
        transform: the input's fitted transform. Presets mirror pictures only where it says ``photo``: a mirrored
            digit or word is another one.
        placed: boxes or masks of the pictures are learnt, which have to follow every step.

    Raises:
        ValueError: unknown modality, setting, step or keyword, or a step that moves pixels in a way that boxes and
            masks cannot follow.
        ImportError: the step is of a package that is not installed; the message says how to install it.

    Example:
        >>> augment = build("audio", [{"name": "gain", "decibels": 3.0}])
        >>> fields = augment({"wave": torch.ones(2, 8) / 2, "lengths": torch.tensor([8, 8])}, 0)
    """
    steps = _expand_setting(modality, setting, bool(getattr(transform, "photo", False)))
    if placed and isinstance(setting, str):
        steps = [step for step in steps if step["name"] not in TURNING]
    made: list[Step] = []
    for ours, group in groupby(steps, key=lambda step: step["name"] in STEPS[modality]):
        if ours:
            made += [_construct_step(STEPS[modality][step["name"]], step) for step in group]
        else:
            made.append(_wrap_package_steps(modality, list(group), transform))
            if placed:
                _check_stays(made[-1])
    spare = getattr(transform, "spare", 1) if modality == "video" and setting != "none" else 1
    draw = video.Moments(spare) if spare > 1 else None
    return Augmentation(tuple(made), placed, draw) if made or draw else None


def _check_stays(step: Any) -> None:
    """Whether steps of another package leave every pixel where it is.

    Raises:
        ValueError: one does not.
    """
    if moving := [type(one).__name__ for one in step.steps if not step.stays(one)]:
        raise ValueError(
            f"augmentation {moving[0]!r} moves pixels in a way that boxes and masks cannot follow; of ours shift, flip "
            "and crop move them along, and steps that change colours leave them where they are"
        )


def _expand_setting(modality: str, setting: str | Sequence[Named], photo: bool) -> list[Named]:
    presets = registry.choose(PRESETS, modality, "modality to augment")
    if isinstance(setting, str):
        steps = registry.choose({"none": [], **presets}, setting, "augmentation setting")
        return [step for step in steps if step["name"] != "flip" or photo]
    nameless = [step for step in setting if not isinstance(step, dict) or not isinstance(step.get("name"), str)]
    if nameless:
        raise ValueError(f"an augmentation step is {{'name': ..., keywords}}, found {nameless[0]!r}")
    return list(setting)


def _construct_step(make: Callable[..., Any], step: Named) -> Any:
    keywords = {key: tuple(value) if isinstance(value, list) else value for key, value in step.items() if key != "name"}
    try:
        return make(**keywords)
    except (TypeError, ValueError) as error:
        raise ValueError(f"augmentation {step['name']!r}: {error}") from None


def _wrap_package_steps(modality: str, steps: list[Named], transform: Any) -> Step:
    """Group neighbouring steps of another package into one, so that a batch is converted for it once."""
    package = OUTSIDE.get(modality)
    try:
        known = {**STEPS[modality], **(package.table() if package else {})}
    except ImportError as error:
        ours = ", ".join(STEPS[modality])
        raise ImportError(f"{modality} augmentation {steps[0]['name']!r} is none of ours ({ours}); {error}") from None
    classes = [registry.choose(known, step["name"], f"{modality} augmentation") for step in steps]
    assert package  # without one, choose has refused the name
    return package([_construct_step(make, step) for make, step in zip(classes, steps, strict=True)], transform)
