"""Status of starter parts, as ``polyfuse starter`` shows: installed, and verified by SHA-256."""

from __future__ import annotations

from dataclasses import dataclass

from polyfuse.starter.folders import PREFIX
from polyfuse.starter.package_files import StarterError, verified_files, version_of
from polyfuse.starter.parts import PARTS, StarterPart


@dataclass(frozen=True)
class StarterState:
    """The status of one starter part.

    Args:
        name: with ``starter:`` in front, as a recipe names it.
        version: installed; None where its package is absent.
        usable: it is installed, in the version and with the bytes that are known.
        problem: why it is not usable; empty where it is.
        install: the line that installs it.
        extra: of polyfuse, which brings it or what it needs.
        size: bytes.
        sha256: path in the package -> what its SHA-256 has to be.
    """

    name: str
    modality: str
    encoder: str
    summary: str
    package: str
    version: str | None
    expected: str
    usable: bool
    problem: str
    install: str
    extra: str
    size: int
    licence: str
    languages: tuple[str, ...]
    source: str
    sha256: dict[str, str]


def states() -> list[StarterState]:
    """Every starter part; reads the files of those that are installed."""
    return [_state(part) for part in PARTS.values()]


def _state(part: StarterPart) -> StarterState:
    problem = ""
    try:
        verified_files(part)
    except StarterError as error:
        problem = str(error)
    return StarterState(
        name=PREFIX + part.name,
        modality=part.modality,
        encoder=part.encoder,
        summary=part.summary,
        package=part.package,
        version=version_of(part),
        expected=part.version,
        usable=not problem,
        problem=problem,
        install=part.install,
        extra=part.extra,
        size=part.size,
        licence=part.licence,
        languages=part.languages,
        source=part.source,
        sha256=dict(part.files),
    )
