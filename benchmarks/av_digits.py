"""AV digits: an MNIST picture and a spoken digit of the same class per row, both spoilt until neither does alone.

Pictures of MNIST's training part pair with sounds of FSDD's train and val takes, test pictures with test sounds, so
that nothing is on two sides. FSDD has 300 test sounds: rows that share one are resampled together (``unit="sound"``).
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from common import DATA
from PIL import Image

SIZES = {"train": 6000, "val": 1200, "test": 3000}
NOISE = 0.4  # standard deviation of grain, of full ink
PATCH = (8, 13)  # pixels, sides of two grey patches, from-to
SNR = (-16.0, -2.0)  # decibels, speech over noise, from-to


def build(seed: int = 0) -> pd.DataFrame:
    """Columns ``image`` (PNG bytes), ``sound`` (name of a WAV cell), ``audio`` (WAV bytes), ``digit``, ``split``."""
    rng = np.random.default_rng(seed)
    pictures = {name: pd.read_parquet(DATA / f"mnist/{name}.parquet") for name in ("train", "test")}
    order = rng.permutation(len(pictures["train"]))
    chosen = {
        "train": pictures["train"].iloc[order[: SIZES["train"]]],
        "val": pictures["train"].iloc[order[SIZES["train"] :][: SIZES["val"]]],
        "test": pictures["test"].iloc[rng.permutation(len(pictures["test"]))[: SIZES["test"]]],
    }
    sounds = pd.read_csv(DATA / "fsdd/table.csv")
    return pd.concat([_side(rows, sounds[sounds.split == side], side, rng) for side, rows in chosen.items()])


def _side(pictures: pd.DataFrame, sounds: pd.DataFrame, side: str, rng: np.random.Generator) -> pd.DataFrame:
    digits = pictures.digit.astype(int).to_numpy()
    names = np.empty(len(digits), object)
    for digit in range(10):
        rows = np.flatnonzero(digits == digit)
        fitting = sounds[sounds.digit == digit].audio.to_numpy()
        names[rows] = np.resize(rng.permutation(fitting), len(rows))
    clips = {name: _clip(DATA / "fsdd" / name) for name in set(names)}
    # one noisy copy of each test sound, so that 300 sounds stay 300 sounds; training hears new noise in every row
    fixed = {name: _spoil_sound(*clips[name], rng) for name in sorted(clips)} if side == "test" else {}
    return pd.DataFrame(
        {
            "image": [_spoil_picture(_bytes(cell), rng) for cell in pictures.image],
            "audio": [fixed.get(name) or _spoil_sound(*clips[name], rng) for name in names],
            "sound": names,
            "digit": digits,
            "split": side,
        }
    )


def _bytes(cell) -> bytes:
    return cell["bytes"] if isinstance(cell, dict) else cell


def _clip(path: Path) -> tuple[np.ndarray, int]:
    return soundfile.read(path, dtype="float32")


def _spoil_picture(content: bytes, rng: np.random.Generator) -> bytes:
    ink = np.asarray(Image.open(io.BytesIO(content)).convert("L"), np.float32) / 255
    for _ in range(2):
        high, wide = rng.integers(*PATCH, size=2, endpoint=True)
        top, left = rng.integers(0, 28 - high + 1), rng.integers(0, 28 - wide + 1)
        ink[top : top + high, left : left + wide] = rng.random()
    ink = ink + NOISE * rng.standard_normal(ink.shape)
    file = io.BytesIO()
    Image.fromarray((ink.clip(0, 1) * 255).astype(np.uint8)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _spoil_sound(clip: np.ndarray, rate: int, rng: np.random.Generator) -> bytes:
    power = max(float(clip.std()), 1e-4)
    noise = rng.standard_normal(len(clip)).astype(np.float32) * power * 10 ** (-rng.uniform(*SNR) / 20)
    mixed = clip + noise
    file = io.BytesIO()
    soundfile.write(file, mixed * (0.8 / np.abs(mixed).max()), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


if __name__ == "__main__":
    frame = build()
    print(frame.groupby("split").agg(rows=("digit", "size"), sounds=("sound", "nunique")))
