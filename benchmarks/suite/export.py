"""Takes the suite elsewhere: ``python -m benchmarks.suite.export FOLDER`` writes every table as Parquet, media inside.

There, ``POLYFUSE_SUITE=FOLDER`` makes the suite read them; nothing else of the packages or the shared sets is needed.
Pictures become WebP of at most 80 pixels and sounds Ogg Vorbis of at most 8 kHz, so that all of it stays under 60 MB:
figures from there are compared with figures from there, baselines run again.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from benchmarks.suite import tables

LARGEST, RATE = 80, 8000


def export(folder: Path, names: list[str] | None = None) -> int:
    """Write the tables under ``folder/tables``; the bytes they take."""
    place = folder / "tables"
    place.mkdir(parents=True, exist_ok=True)
    for name in names or list(tables()):
        item = tables()[name]
        frame = item.load(spare=True)
        for modality, make in (("image", picture), ("audio", sound)):
            for column in item.media.get(modality, []):
                known = {cell: make(cell) for cell in frame[column].unique() if isinstance(cell, bytes)}
                frame[column] = [known.get(cell) for cell in frame[column]]
        frame.to_parquet(place / f"{name}.parquet", index=False, compression="zstd")
    return sum(path.stat().st_size for path in place.glob("*.parquet"))


def picture(content: bytes) -> bytes:
    """WebP with its transparency, no side longer than ``LARGEST``."""
    from PIL import Image

    opened = Image.open(io.BytesIO(content))
    opened = opened.convert("RGBA" if "A" in opened.getbands() or "transparency" in opened.info else "RGB")
    opened.thumbnail((LARGEST, LARGEST))
    whole = io.BytesIO()
    opened.save(whole, "WEBP", quality=60)
    return whole.getvalue()


def sound(content: bytes) -> bytes:
    """Ogg Vorbis, no more than ``RATE`` samples a second."""
    import soundfile
    import soxr

    samples_S, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    if rate > RATE:
        samples_S, rate = soxr.resample(samples_S, rate, RATE), RATE
    whole = io.BytesIO()
    soundfile.write(whole, samples_S, rate, format="OGG", subtype="VORBIS")
    return whole.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite.export", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", nargs="+")
    given = parser.parse_args()
    print(f"{export(given.folder, given.tables) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
