"""The exported folder: what its manifest says, and that every file is what was written. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from polyfuse.version import __version__

FORMAT = 1
KIND = "polyfuse-export"
MANIFEST = "manifest.json"


class ExportError(ValueError):
    """A folder that is no whole export, one of another version, or a model that cannot be exported."""


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(folder: Path) -> list[Path]:
    """All files of a folder but its manifest, in order."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and file != folder / MANIFEST)


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """The manifest, with the checksum of every file that lies in the folder now."""
    sums = {file.relative_to(folder).as_posix(): checksum(file) for file in files_of(folder)}
    content = {"kind": KIND, "format": FORMAT, "polyfuse": __version__, **facts, "sha256": sums}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf8")


def is_export(folder: str | Path) -> bool:
    """Whether a folder says of itself that it is an exported model; nothing else of it is checked."""
    try:
        content = json.loads((Path(folder) / MANIFEST).read_text(encoding="utf8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("kind") == KIND


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, after version and checksums were checked.

    Raises:
        ExportError: no exported folder, one of a newer format, or a file that is missing or changed.
    """
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf8"))
    except (OSError, ValueError):
        why = f"it has no readable {MANIFEST}" if folder.is_dir() else "there is no such folder"
        raise ExportError(f"{folder} is no exported model: {why}; make one with polyfuse export BUNDLE") from None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        made = isinstance(found, dict) and "polyfuse" in found and "sha256" in found
        what = "it is a saved model" if made else f"its {MANIFEST} is of something else"
        raise ExportError(f"{folder} is no exported model: {what}; make one with polyfuse export BUNDLE --to DIR")
    if not isinstance(found.get("format"), int) or found["format"] > FORMAT:
        made = found.get("polyfuse", "another version")
        raise ExportError(
            f"{folder} was exported by polyfuse {made}, this is {__version__}: update it, or export again"
        )
    for name, expected in found["sha256"].items():
        path = folder / name
        if not path.is_file() or checksum(path) != expected:
            state = "changed or damaged" if path.is_file() else "missing"
            raise ExportError(f"{folder}: {name} is {state}; copy the folder again, or export the model again")
    return found
