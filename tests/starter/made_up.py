"""A made-up starter part: a package of a few bytes, installed in a folder of its own."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

from polyfuse.starter.parts import PARTS, StarterPart

CONTENT = b"some weights"
CALLS = "MADE_UP_CALLS"  # names a file that gets a line per conversion


def convert(sources, folder: Path) -> None:
    """Write a folder slowly, and say that it was done."""
    with open(os.environ[CALLS], "a") as file:
        file.write("converted\n")
    (folder / "config.json").write_text('{"model_type": "made-up"}')
    time.sleep(0.3)
    (folder / "model.safetensors").write_bytes(sources["weights.bin"].read_bytes())


def fail(sources, folder: Path) -> None:
    """Break off half way."""
    (folder / "config.json").write_text("{}")
    raise RuntimeError("broke off")


def install(site: Path, *, version: str = "1.0", content: bytes = CONTENT, convert: str = "convert") -> StarterPart:
    """Put the package into a folder on ``sys.path``, and the part into the table."""
    home, facts = site / "made_up_weights", site / f"made_up_weights-{version}.dist-info"
    for folder in (home, facts):
        folder.mkdir(parents=True, exist_ok=True)
    (home / "__init__.py").write_text("raise SystemExit('imported')")
    (home / "weights.bin").write_bytes(content)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-up-weights\nVersion: {version}\n")
    sys.path.insert(0, str(site))
    return register(convert)


def register(convert: str = "convert") -> StarterPart:
    """The part alone, as the table would name it."""
    PARTS["made-up"] = StarterPart(
        name="made-up",
        modality="text",
        encoder="pretrained",
        summary="A made-up part.",
        package="made-up-weights",
        version="1.0",
        files={"made_up_weights/weights.bin": hashlib.sha256(CONTENT).hexdigest()},
        licence="MIT",
        languages=("en",),
        source="nowhere",
        extra="starter",
        size=len(CONTENT),
        convert=f"tests.starter.made_up:{convert}",
    )
    return PARTS["made-up"]
