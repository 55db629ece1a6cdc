"""The demo's table, built from the files beside this one: handwritten digits, spoken digits and written clues.

Each row shows one digit three ways, none of them clear: a real handwritten 8x8 digit (E. Alpaydin and C. Kaynak,
"Optical Recognition of Handwritten Digits", UCI, 1998, CC BY 4.0) under patches and noise; the digit spoken in one of
six languages by a synthetic voice (espeak-ng) in noise; and a clue in English or Chinese that leaves two to five
digits open. Every image is used once, voices of one split are heard in no other, and some cells are missing.
``scripts/make_demo_data.py`` made the files.
"""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile as sf
from PIL import Image

from polyfuse.digits import clues

if TYPE_CHECKING:
    import pandas as pd

SIZES = {"train": 1100, "val": 200, "test": 497}
MISSING = {"handwriting": 0.03, "speech": 0.04, "clue": 0.05}  # share of the rows; no row lacks all three

# how hard it is: none of the three should do alone
SIDE = 32  # pixels of an image
PATCHES = 2  # hiding each image
PATCH = (12, 20)  # pixels, their sides from-to
INK_NOISE = 0.15  # standard deviation, of full ink
SNR = (-6.0, 8.0)  # decibels, speech over noise, from-to
PAUSE = 0.12  # seconds, the most that noise goes on before and after the word

_FOLDER = Path(__file__).parent
_LOUDEST = 0.8  # of full scale


def build(seed: int = 0) -> pd.DataFrame:
    """The table, one row per image, in about a second; the same seed gives the same bytes.

    Returns:
        Columns ``handwriting`` (bytes of a PNG), ``speech`` (bytes of a WAV, mono, 8 kHz), ``clue`` (text), ``digit``
        (0 to 9), ``language`` and ``voice`` of the speech, ``split`` (train, val or test). Missing cells are None.

    See also: :func:`write`, for files to look at; ``build().to_parquet(path)`` for one file.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    tiles, digits = _shuffled(*_handwriting(), rng)
    split = np.repeat(list(SIZES), list(SIZES.values()))
    sound, index = _speech()
    clips = _pick_clips(digits, split, index, rng)
    columns: dict[str, list[Any]] = {
        "handwriting": [_png(image) for image in spoil_images(tiles, rng)],
        "speech": [_wav(clip, index["rate"]) for clip in spoil_sounds([sound[i] for i in clips], index["rate"], rng)],
        "clue": clues.draw(digits, rng),
    }
    _drop(columns, rng)
    facts = {name: np.array(index[name])[clips] for name in ("language", "voice")}
    return pd.DataFrame({**columns, "digit": digits, **facts, "split": split})


def write(folder: Path, seed: int = 0) -> Path:
    """Writes the table of :func:`build` as ``table.csv`` with its media in folders, and returns the path of the table.

    Args:
        folder: is made where it does not exist; files of the same names are replaced.
    """
    folder = Path(folder)
    table = build(seed)
    for column, ending in (("handwriting", "png"), ("speech", "wav")):
        (folder / column).mkdir(parents=True, exist_ok=True)
        table[column] = [
            None if cell is None else _save(cell, folder, f"{column}/{row:04}.{ending}")
            for row, cell in enumerate(table[column])
        ]
    table.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


def spoil_images(tiles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Enlarges digits, lays grey patches over them and adds grain.

    Shapes: (B, h, w) floats from 0 to 1 in, (B, ``SIDE``, ``SIDE``) bytes out.
    """
    enlarge = _enlarging(tiles.shape[-1])
    images = enlarge @ tiles @ enlarge.T
    sides = rng.integers(*PATCH, size=(2, PATCHES, len(tiles), 1), endpoint=True)
    starts = rng.integers(0, SIDE - sides + 1)
    rows, columns = (np.arange(SIDE) >= starts) & (np.arange(SIDE) < starts + sides)
    for row, column in zip(rows, columns, strict=True):
        grey = rng.random((len(tiles), 1, 1))
        images = np.where(row[:, :, None] & column[:, None, :], grey, images)
    images += INK_NOISE * rng.standard_normal(images.shape, dtype=np.float32)
    return (images.clip(0, 1) * 255).round().astype(np.uint8)


def spoil_sounds(clips: list[np.ndarray], rate: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Sets each clip in noise that begins before it and ends after it.

    Args:
        clips: waveforms (S,) of any loudness.
        rate: in Hz.
    """
    noise = _pink(1 << 19, rng)
    before, after = rng.integers(0, round(PAUSE * rate), size=(2, len(clips)), endpoint=True)
    gains = 10 ** (rng.uniform(*SNR, len(clips)) / 20)
    starts = rng.integers(0, len(noise) - max(map(len, clips)) - 2 * round(PAUSE * rate), len(clips))
    mixed = []
    for clip, start, lead, tail, gain in zip(clips, starts, before, after, gains, strict=True):
        sound = noise[start : start + lead + len(clip) + tail].copy()
        sound[lead : lead + len(clip)] += clip * (gain / clip.std())
        mixed.append(sound * (_LOUDEST / np.abs(sound).max()))
    return mixed


def _handwriting() -> tuple[np.ndarray, np.ndarray]:
    """All real digits, (1797, 8, 8) from 0 to 1, and their labels."""
    index = json.loads((_FOLDER / "digits.json").read_text(encoding="utf8"))
    labels, side = np.array([int(label) for label in index["labels"]]), index["side"]
    sheet = np.asarray(Image.open(_FOLDER / "digits.png"), dtype=np.float32) / index["ink"]
    rows, columns = sheet.shape[0] // side, sheet.shape[1] // side
    tiles = sheet.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
    return tiles[: len(labels)], labels


def _speech() -> tuple[list[np.ndarray], dict[str, Any]]:
    """All clean clips, and lists that say of each its voice, language and digit."""
    index = json.loads((_FOLDER / "speech.json").read_text(encoding="utf8"))
    sound, _ = sf.read(_FOLDER / "speech.ogg", dtype="float32")
    return [sound[start : start + length] for start, length in zip(index["start"], index["length"], strict=True)], index


def _shuffled(tiles: np.ndarray, digits: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    order = rng.permutation(len(digits))
    return tiles[order], digits[order]


def _pick_clips(digits: np.ndarray, split: np.ndarray, index: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    """A clip per row, of its digit and of a voice of its split; a second time only once all such clips are used."""
    said, heard = np.array(index["digit"]), np.array([index["splits"][voice] for voice in index["voice"]])
    clips = np.zeros(len(digits), int)
    for name in SIZES:
        for digit in range(10):
            rows = np.flatnonzero((split == name) & (digits == digit))
            fitting = np.flatnonzero((heard == name) & (said == digit))
            clips[rows] = np.resize(rng.permutation(fitting), len(rows))
    return clips


def _drop(columns: dict[str, list[Any]], rng: np.random.Generator) -> None:
    """Empties a share of the cells, in place; a row that would lose all of them keeps all."""
    lost = rng.random((len(columns["clue"]), len(columns))) < [MISSING[name] for name in columns]
    lost &= ~lost.all(1, keepdims=True)
    for column, cells in enumerate(columns.values()):
        for row in np.flatnonzero(lost[:, column]):
            cells[row] = None


def _enlarging(side: int) -> np.ndarray:
    """The matrix (``SIDE``, side) of linear interpolation between pixel centres."""
    centres = (np.arange(SIDE) + 0.5) * side / SIDE - 0.5
    return np.stack([np.interp(centres, np.arange(side), unit) for unit in np.eye(side)], axis=1).astype(np.float32)


def _pink(length: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit variance whose power falls with frequency, as that of most places does."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), length)
    return (noise / noise.std()).astype(np.float32)


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _wav(sound: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes((sound * 32767).astype("<i2").tobytes())
    return file.getvalue()


def _save(content: bytes, folder: Path, name: str) -> str:
    (folder / name).write_bytes(content)
    return name
