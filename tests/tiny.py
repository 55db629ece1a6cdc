"""A tiny table with every modality, quick to learn, written to a folder; and recipes small enough for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from PIL import Image

WORDS = {"a": "bright loud morning", "b": "dark quiet evening"}
FAST = ("training.epochs=3", "training.batch_size=16", "width=16", "preset=plain")


def write_table(folder: Path, rows: int = 60, seed: int = 0, split: bool = True) -> Path:
    """Pictures, sounds, words and numbers that all follow the label; one missing cell of each."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    table = []
    for n in range(rows):
        label = "ab"[n % 2]
        bright = label == "a"
        pixels = rng.integers(0, 100, (16, 16, 3)) + (120 if bright else 0)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{n}.png")
        soundfile.write(folder / f"{n}.wav", rng.normal(0, 0.3 if bright else 0.02, 1600).clip(-1, 1), 8000)
        words = " ".join(rng.permutation(WORDS[label].split()))
        table.append(
            {
                "photo": f"{n}.png",
                "sound": f"{n}.wav",
                "words": f"{words} number {n} of many",
                "area": float(rng.normal(3 if bright else 1, 0.2)),
                "kind": "x" if rng.random() < 0.5 else "y",
                "label": label,
                "price": float(np.exp(rng.normal(2 if bright else 1, 0.1))),
                "split": ("train", "train", "train", "test")[n // 2 % 4],
            }
        )
    frame = pd.DataFrame(table)
    for row, column in enumerate(("photo", "sound", "words", "area", "kind")):
        frame.loc[row, column] = None
    path = folder / "table.csv"
    (frame if split else frame.drop(columns="split")).to_csv(path, index=False)
    return path
