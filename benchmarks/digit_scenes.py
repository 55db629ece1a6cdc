"""Pieces of photographs with written digits on them: a box and a label for each, and a class for every pixel.

Each scene is a piece of 96 x 96 pixels of a photograph of ``flickr8k`` with 1 to 6 digits of ``mnist``, 16 to 40 pixels
wide, in white; digits overlap by a tenth at most. Official splits of both: scenes of the test show photographs and
digits that no other scene shows.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from common import DATA
from PIL import Image

SIDE, SIZES, MOST = 96, (16, 40), 6
COUNTS = {"train": 2_000, "val": 300, "test": 300}
INK = 64  # of 255 levels from which a pixel belongs to a digit
TRIES, APART = 20, 0.1
HELD = 2_000  # digits of the training file that validation scenes show


def scenes(*, quick: bool = False) -> pd.DataFrame:
    """Columns ``photo`` (PNG bytes), ``boxes``, ``mask`` (PNG bytes: 0, or digit + 1) and ``split``."""
    rows: list[dict[str, Any]] = []
    for number, (split, count) in enumerate(COUNTS.items()):
        rng, photos, digits = np.random.default_rng(number), list(_photos(split)), _digits(split)
        for _ in range(40 if quick else count):
            rows.append({**_scene(photos[rng.integers(len(photos))], digits, rng), "split": split})
    return pd.DataFrame(rows)


def _photos(split: str) -> Iterator[bytes]:
    names = ("train-0", "train-1") if split == "train" else (split,)
    for name in names:
        yield from (
            _bytes(cell) for cell in pd.read_parquet(DATA / f"flickr8k/{name}.parquet", columns=["image"]).image
        )


def _digits(split: str) -> pd.DataFrame:
    """Pictures of digits that scenes of a split show."""
    table = pd.read_parquet(DATA / f"mnist/{'test' if split == 'test' else 'train'}.parquet")
    return table if split == "test" else table.iloc[:-HELD] if split == "train" else table.iloc[-HELD:]


def _bytes(cell: Any) -> bytes:
    return cell["bytes"] if isinstance(cell, dict) else cell


def _scene(photo: bytes, digits: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
    picture = Image.open(io.BytesIO(photo)).convert("RGB")
    left, top = (int(rng.integers(side - SIDE + 1)) for side in picture.size)
    pixels = np.asarray(picture.crop((left, top, left + SIDE, top + SIDE))).copy()
    mask, boxes = np.zeros((SIDE, SIDE), np.uint8), []
    for _ in range(int(rng.integers(1, MOST + 1))):
        one = digits.iloc[int(rng.integers(len(digits)))]
        side = int(rng.integers(SIZES[0], SIZES[1] + 1))
        drawn = Image.open(io.BytesIO(_bytes(one.image))).convert("L").resize((side, side), Image.Resampling.BILINEAR)
        ink = np.asarray(drawn)
        rows, columns = np.flatnonzero((ink >= INK).any(1)), np.flatnonzero((ink >= INK).any(0))
        ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        place = _free_place(ink.shape, boxes, rng)
        if place is None:
            continue
        x, y = place
        height, width = ink.shape
        part = (slice(y, y + height), slice(x, x + width))
        pixels[part] = np.maximum(pixels[part], ink[..., None])
        mask[part][ink >= INK] = int(one.digit) + 1
        boxes.append({"bbox": [x, y, width, height], "label": int(one.digit)})
    return {"photo": _png(pixels), "boxes": boxes, "mask": _png(mask)}


def _free_place(shape: tuple[int, int], boxes: list[dict], rng: np.random.Generator) -> tuple[int, int] | None:
    """Where a digit covers others by a tenth of their box at most; None where no try finds that."""
    height, width = shape
    for _ in range(TRIES):
        x, y = int(rng.integers(SIDE - width + 1)), int(rng.integers(SIDE - height + 1))
        if all(_covered((x, y, width, height), box["bbox"]) <= APART for box in boxes):
            return x, y
    return None


def _covered(one: tuple[int, int, int, int], other: list[int]) -> float:
    """Share of the smaller of two boxes that both cover."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    tall = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(0, wide) * max(0, tall) / min(one[2] * one[3], other[2] * other[3])


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
