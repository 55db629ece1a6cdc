"""The encoder of pictures that reads each picture of a clip: asked what it wants, and built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from polyfuse import registry
from polyfuse.contracts import Rebuilds, offers
from polyfuse.records import Spec

SMALL: Mapping[str, Any] = MappingProxyType({"name": "resnet", "largest": 64, "width": 16})


def picture_spec(image: str | Mapping[str, Any]) -> Spec:
    """What an encoder of pictures asks for.

    Raises:
        ValueError: no such encoder, or one that asks for something else than pixels.
    """
    name, keywords = _named(image)
    spec = registry.encoder("image", name).wants(**keywords)  # type: ignore[attr-defined]
    if spec.transform != "image.pixels":
        raise ValueError(f"image: encoder {name} reads {spec.transform}, expected one that reads image.pixels")
    return spec


def picture_encoder(image: str | Mapping[str, Any], size: tuple[int, int], files: Path | None) -> nn.Module:
    """The encoder of pictures, built; from the files of a saved model where it has any."""
    name, keywords = _named(image)
    made = registry.encoder("image", name)
    if files is not None and offers(made, Rebuilds):
        keywords |= made.restored(files)
    return made(image_size=size, **keywords)


def kept_files(folder: Path) -> dict[str, Any]:
    """The keywords that build such an encoder again from the files of its ``Spec``, where it has a checkpoint."""
    return {"files": folder} if folder.is_dir() and any(folder.iterdir()) else {}


def _named(image: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(image, str):
        return image, {}
    if not isinstance(image.get("name"), str):
        raise ValueError(f"image: expected a name or {{'name': ..., keywords}}, found {dict(image)!r}")
    return image["name"], {key: value for key, value in image.items() if key != "name"}
