"""Find the checkpoint folder of ``starter:NAME``, converted into the cache once."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from filelock import FileLock

from polyfuse.registry import choose, resolve
from polyfuse.starter.package_files import StarterError, sha256, verified_files
from polyfuse.starter.parts import PARTS, StarterPart
from polyfuse.system.cache import cache_root

PREFIX = "starter:"
FORMAT = 1  # raise it when a conversion changes what it writes
SUMS = "sha256.json"


def is_name(path: str | Path) -> bool:
    """Whether this names a starter part and no folder or checkpoint on the Hub."""
    return isinstance(path, str) and path.startswith(PREFIX)


def find(name: str, *, modality: str | None = None) -> Path:
    """The folder of a starter part, as ``save_pretrained`` would lay it out; converted at the first call.

    Args:
        name: with or without ``starter:`` in front.
        modality: of the cells that it is to read, where that matters.

    Raises:
        StarterError: no such part, one for other cells, not installed, another version or other bytes, or no place,
            not even a temporary one, for what is converted.
    """
    part = _part(name.removeprefix(PREFIX))
    if modality not in (None, part.modality):
        fitting = ", ".join(PREFIX + p.name for p in PARTS.values() if p.modality == modality) or "none"
        raise StarterError(f"{PREFIX}{part.name} reads {part.modality}, not {modality}; for {modality}: {fitting}")
    sources = verified_files(part)
    return _ensure_converted(part, sources) if part.convert else next(iter(sources.values())).parent


def _part(name: str) -> StarterPart:
    try:
        return choose(PARTS, name, "starter part")
    except ValueError as error:
        raise StarterError(str(error)) from None


def conversion_folder(part: StarterPart) -> Path:
    """The folder of a converted part, named by the hash of its sources."""
    key = hashlib.sha256(json.dumps([FORMAT, part.convert, part.files]).encode()).hexdigest()[:16]
    return cache_root() / "starter" / f"{part.name}-{key}"


def _ensure_converted(part: StarterPart, sources: Mapping[str, Path]) -> Path:
    from safetensors import SafetensorError  # what it makes of a full disk

    place = conversion_folder(part)
    if is_whole(place):
        return place
    try:
        return _convert_into_cache(part, sources, place)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        said = f"{PREFIX}{part.name}: its conversion cannot be kept in {place} ({reason})"
    try:
        made = _convert_into_cache(part, sources, _temporary_folder() / place.name)
    except (OSError, SafetensorError):
        way = "free space, or name another folder in POLYFUSE_CACHE"
        raise StarterError(f"{said}, nor in a temporary folder; {way}") from None
    warnings.warn(
        f"{said}: it lies in a temporary folder until this process ends, and is made again by the next; free space, or "
        "name another folder in POLYFUSE_CACHE",
        stacklevel=2,
    )
    return made


@cache
def _temporary_folder() -> Path:
    """A folder that goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="polyfuse-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _convert_into_cache(part: StarterPart, sources: Mapping[str, Path], place: Path) -> Path:
    if is_whole(place):
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f"{place.name}.lock")):  # the second of two processes finds it made
        if not is_whole(place):
            _make(part, sources, place)
    return place


def is_whole(place: Path) -> bool:
    """Whether a conversion is there with all its bytes; one that is damaged is made again."""
    try:
        sums = json.loads((place / SUMS).read_text(encoding="utf8"))
        return all(sha256(place / name) == expected for name, expected in sums.items())
    except (OSError, ValueError, AttributeError):  # absent, unreadable, or no table of sums
        return False


def _make(part: StarterPart, sources: Mapping[str, Path], place: Path) -> None:
    fresh = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}")
    try:
        fresh.mkdir()
        resolve(part.convert)(sources, fresh)
        sums = {file.name: sha256(file) for file in sorted(fresh.iterdir())}
        (fresh / SUMS).write_text(json.dumps(sums, indent=1), encoding="utf8")
        if place.is_dir():
            shutil.rmtree(place)
        elif place.exists():
            place.unlink()
        os.rename(fresh, place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
