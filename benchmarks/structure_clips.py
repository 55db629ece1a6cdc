"""Tables of clips and recordings for ``structure.py``: fights, digits that glide, digits said one after the other."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pandas as pd
import soundfile
from common import DATA
from PIL import Image

SIDE, STEPS = 48, 12  # pixels and pictures of a clip of gliding digits
WAYS = {  # pixels to the right and down, per picture
    "east": (1, 0), "south-east": (1, 1), "south": (0, 1), "south-west": (-1, 1),
    "west": (-1, 0), "north-west": (-1, -1), "north": (0, -1), "north-east": (1, -1),
}  # fmt: skip
FOLDS = 5
RATE, SECONDS = 8000, 10.0
SPEAKERS = {"train": ("george", "jackson", "lucas", "nicolas"), "test": ("theo", "yweweler")}


def fights() -> pd.DataFrame:
    """``video``, ``label``, ``source``, ``split``, and two ways to cut five folds: ``by_source``, and ``at_random``."""
    table = pd.read_csv(DATA / "fights/table.csv")
    table["video"] = [str(DATA / "fights" / name) for name in table.video]
    rng = np.random.default_rng(0)
    sizes, place = Counter(), {}
    counts = table.source.value_counts()
    for source in sorted(counts.index, key=lambda one: (-counts[one], one)):  # the largest first, into the emptiest
        place[source] = min(range(FOLDS), key=lambda fold: (sizes[fold], fold))
        sizes[place[source]] += counts[source]
    table["by_source"] = table.source.map(place)
    table["at_random"] = rng.permutation(np.arange(len(table)) % FOLDS)
    return table


def gliding(rows: dict[str, int], seed: int = 0) -> pd.DataFrame:
    """``clip`` (N, H, W) of one digit on its way around a ring of pixels, ``direction``, ``split``."""
    rng = np.random.default_rng(seed)
    parts = []
    for split, count in rows.items():
        digits = _digits("test" if split == "test" else "train", count, rng)
        ways = rng.permutation(np.resize(list(WAYS), count))
        clips = [_clip([(digit, WAYS[way], None)], rng) for (digit, _), way in zip(digits, ways, strict=True)]
        parts.append(pd.DataFrame({"clip": clips, "direction": ways, "split": split}))
    return pd.concat(parts, ignore_index=True)


def asked(rows: dict[str, int], seed: int = 0) -> pd.DataFrame:
    """Two digits, one above the other, that go left and right: ``clip``, ``question``, ``answer``, ``split``."""
    rng = np.random.default_rng(seed)
    parts = []
    for split, count in rows.items():
        pairs = _digits("test" if split == "test" else "train", 2 * count, rng)
        made = []
        for (one, said), (other, answered) in zip(pairs[::2], pairs[1::2], strict=True):
            first = -1 if rng.random() < 0.5 else 1
            clip = _clip([(one, (first, 0), 0), (other, (-first, 0), SIDE // 2)], rng)
            left = rng.random() < 0.5
            answer = said if (first == -1) == left else answered
            made.append((clip, f"which digit goes {'left' if left else 'right'}?", str(answer), split))
        parts.append(pd.DataFrame(made, columns=["clip", "question", "answer", "split"]))
    return pd.concat(parts, ignore_index=True)


def shuffled(clips: pd.Series, seed: int = 1) -> list[np.ndarray]:
    """Clips with their pictures in any order."""
    rng = np.random.default_rng(seed)
    return [clip[rng.permutation(len(clip))] for clip in clips]


def _digits(split: str, count: int, rng: np.random.Generator) -> list[tuple[np.ndarray, int]]:
    """Drawn digits, pixels 20 by 20, and what they are."""
    table = pd.read_parquet(DATA / f"mnist/{split}.parquet")
    found = []
    for at in rng.permutation(len(table))[:count]:
        cell = table.image.iat[at]
        picture = Image.open(io.BytesIO(cell["bytes"] if isinstance(cell, dict) else cell)).convert("L")
        found.append((np.asarray(picture.crop((4, 4, 24, 24))), int(table.digit.iat[at])))
    return found


def _clip(digits: list[tuple[np.ndarray, tuple[int, int], int | None]], rng: np.random.Generator) -> np.ndarray:
    """Digits that glide around a ring of pixels: each with its way, and the top of its half where it keeps to one."""
    frames = np.zeros((STEPS, SIDE, SIDE), np.uint8)
    for digit, (right, down), top in digits:
        speed = rng.integers(2, 4)
        left, high = rng.integers(0, SIDE), rng.integers(0, SIDE) if top is None else top + rng.integers(0, 5)
        for n in range(STEPS):
            canvas = np.zeros((SIDE, SIDE), np.uint8)
            canvas[:20, :20] = digit
            canvas = np.roll(canvas, (high + n * speed * down, left + n * speed * right), (0, 1))
            frames[n] = np.maximum(frames[n], canvas)
    return frames


def spoken(rows: dict[str, int], seed: int = 0) -> pd.DataFrame:
    """``sound`` (WAV of ten seconds of noise), ``events`` (digits said in it), ``split``; test speakers are new."""
    rng = np.random.default_rng(seed)
    table = pd.read_csv(DATA / "fsdd/table.csv")
    made = []
    for split, count in rows.items():
        own = table[table.speaker.isin(SPEAKERS["test" if split == "test" else "train"])]
        own = own if split == "test" else own[own["split"] == ("val" if split == "val" else "train")]
        clips = {name: soundfile.read(DATA / "fsdd" / name, dtype="float32")[0] for name in own.audio}
        for _ in range(count):
            wave, events = _strung(own, clips, rng)
            file = io.BytesIO()
            soundfile.write(file, wave.clip(-1, 1), RATE, format="WAV", subtype="PCM_16")
            made.append((file.getvalue(), events, split))
    return pd.DataFrame(made, columns=["sound", "events", "split"])


def _strung(
    table: pd.DataFrame, clips: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, list[dict]]:
    """Three to eight digits with pauses in noise of one level, 5 to 20 dB below them."""
    noise = rng.normal(0, 0.01, round(SECONDS * RATE)).astype(np.float32)
    wave, events, at = noise.copy(), [], rng.uniform(0.2, 1.0)
    for _ in range(rng.integers(3, 9)):
        row = table.iloc[rng.integers(len(table))]
        clip = clips[row.audio]
        if at + len(clip) / RATE > SECONDS - 0.1:
            break
        level = 0.01 * 10 ** (rng.uniform(5, 20) / 20) / max(1e-6, float(np.sqrt((clip**2).mean())))
        start = round(at * RATE)
        wave[start : start + len(clip)] += level * clip
        events.append({"start": round(at, 3), "end": round(at + len(clip) / RATE, 3), "label": str(row.digit)})
        at += len(clip) / RATE + rng.uniform(0.2, 1.5)
    return wave, events
