"""From a folder to a model that answers: a bundle with torch, or an exported one without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polyfuse.runtime.folder import is_export
from polyfuse.runtime.servant import Servant
from polyfuse.system.lazy import LazyModule

if TYPE_CHECKING:
    from polyfuse import runtime
    from polyfuse.model import servant as bundles
else:  # each needs what the other does without
    bundles = LazyModule("polyfuse.model.servant")
    runtime = LazyModule("polyfuse.runtime")

BUNDLE = "recipe.yaml"  # a file of every bundle


def kind_of(folder: str | Path) -> str:
    """``bundle`` or ``exported``, by the files that are there; nothing is read.

    Raises:
        ValueError: no such folder, or none that holds a model.
    """
    place = Path(folder)
    if not place.is_dir():
        raise ValueError(f"{folder}: no such folder; name a saved model, or a folder that polyfuse export wrote")
    if is_export(place):
        return "exported"
    if (place / BUNDLE).is_file():
        return "bundle"
    raise ValueError(
        f"{folder} is no model: it holds neither {BUNDLE}, as saved models do, nor a manifest of an export"
    )


def open_servant(folder: str, name: str, device: str = "auto", trust: Sequence[str] = ()) -> Servant:
    """The model of a folder.

    Args:
        name: what clients call it.
        device: of a bundle; an exported one computes on the processor.
        trust: packages whose code the model may run.

    Raises:
        ValueError: no model, a damaged one, or one with code that nobody trusts.
    """
    if kind_of(folder) == "exported":
        return runtime.load(folder, trust=trust)
    return bundles.open_bundle(folder, name, device=device, trust=trust)


def names_of(folders: Sequence[str | Path]) -> dict[str, Path]:
    """Name -> folder: ``NAME=FOLDER``, or the last part of the path.

    Raises:
        ValueError: none, two of one name, or a folder that is no model.
    """
    found: dict[str, Path] = {}
    for given in folders:
        text = str(given)
        name, mark, rest = text.partition("=")
        named = bool(mark and name and rest) and not Path(text).is_dir()
        place = Path(rest) if named else Path(text)
        name = name if named else place.resolve().name
        if name in found:
            raise ValueError(f"two models are called {name!r}: name one of them, NAME=FOLDER")
        kind_of(place)
        found[name] = place
    if not found:
        raise ValueError("no model to serve: name its folder")
    return found
