"""What whoever runs a service decides: how much it takes, how long, and from where."""

from __future__ import annotations

from dataclasses import dataclass, fields

from polyfuse.data.cells.source import Limits as CellLimits


@dataclass(frozen=True)
class Settings:
    """Limits and habits of a service; each request above one gets a 4xx that names the field.

    Args:
        max_bytes: of the body of a request, files and base64 included.
        max_items: rows of a request.
        max_pixels: of a picture, by its header, before anything is decoded.
        max_seconds: of a sound, by its header.
        max_characters: of a text.
        queue: rows that may wait for each model; a request that brings more is refused with 429.
        memory: bytes of all bodies that are held at once; a request above that is refused with 429.
        deadline: seconds from the arrival of a request to its answer; a client may ask for less.
        batch: rows that are computed at once.
        stall: seconds that one computation may take before its worker is ended and started again.
        workers: processes per model.
        urls: hosts, as ``HOST`` or ``HOST:PORT``, from which files may be fetched; none by default.
        grace: seconds that a shutdown waits for what is in flight.
        device: where bundles compute: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        trust: packages whose code bundles may run.

    Raises:
        ValueError: a number that is not positive.
    """

    max_bytes: int = 32 * 2**20
    max_items: int = 64
    max_pixels: int = 40_000_000
    max_seconds: float = 600.0
    max_characters: int = 20_000
    queue: int = 256
    memory: int = 256 * 2**20
    deadline: float = 30.0
    batch: int = 64
    stall: float = 120.0
    workers: int = 1
    urls: tuple[str, ...] = ()
    grace: float = 30.0
    device: str = "auto"
    trust: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not 0 < value < float("inf"):
                raise ValueError(f"{field.name}={value}: expected a number above 0")
        if self.memory < self.max_bytes:
            raise ValueError(f"memory={self.memory:,}: expected at least max_bytes={self.max_bytes:,}")

    @property
    def cells(self) -> CellLimits:
        """The limits of a single cell."""
        return CellLimits(self.max_bytes, self.max_pixels, self.max_seconds, self.max_characters)
