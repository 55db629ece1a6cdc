"""Rows of ``generation.py`` on sound: spoken digits as words, strings of them by speakers never heard, Whisper."""

from __future__ import annotations

import wave
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from alignment_run import number_of_seeds
from common import DATA
from defaults_run import Run, Section
from generation_run import BEAM, GREEDY, Made, cells, format_minutes, row, writer

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RATE = 8000
SHOWN = ("wer", "cer", "exact_match")
HEAD = ["decoder", "written", "WER", "CER", "whole text right", "minutes, training of all", "seeds"]
WAYS = {"greedy": GREEDY, "beams 3": BEAM}
DECODERS: dict[str, dict[str, Any]] = {
    "ctc": {"decoder": "ctc"},
    "transformer": {"decoder": "transformer", "unit": "char"},
}
# speakers of strings: nobody is on two sides
STRINGS = {"train": ("jackson", "nicolas", "theo"), "val": ("lucas",), "test": ("george", "yweweler")}
MADE = {"train": 3000, "val": 300, "test": 500}
LENGTHS = (3, 7)  # digits in a string
PAUSES = (0.05, 0.4)  # seconds between them


def digits(*, quick: bool = False) -> pd.DataFrame:
    """``sound``, ``said`` as a word, ``speaker`` and the official ``split``."""
    found = pd.read_csv(DATA / "fsdd/table.csv")
    if quick:
        found = found.groupby("split").head(40)
    sounds = [str(DATA / "fsdd" / name) for name in found.audio]
    said = [WORDS[digit] for digit in found.digit]
    return pd.DataFrame({"sound": sounds, "said": said, "speaker": found.speaker, "split": found.split})


def strings(folder: Path, *, quick: bool = False) -> pd.DataFrame:
    """Recordings of one speaker joined with pauses, the same in every run."""
    one = digits()
    rng = np.random.default_rng(0)
    rows = []
    for split, speakers in STRINGS.items():
        for number in range(20 if quick else MADE[split]):
            own = one[one.speaker == rng.choice(speakers)]
            chosen = own.iloc[rng.integers(len(own), size=rng.integers(LENGTHS[0], LENGTHS[1] + 1))]
            path = folder / f"{split}-{number}.wav"
            joined = _joined([_read(Path(name)) for name in chosen.sound], rng)
            if not path.exists():
                _write(path, joined)
            rows.append({"sound": str(path), "said": " ".join(chosen.said), "split": split})
    return pd.DataFrame(rows)


def _joined(sounds: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    parts = []
    for sound in sounds:
        parts += [np.zeros(int(RATE * rng.uniform(*PAUSES)), np.int16), sound]
    return np.concatenate(parts)


def _read(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def _write(path: Path, sound_S: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound_S.tobytes())


def settings(head: dict[str, Any], encoder: Any, **training: Any) -> dict[str, Any]:
    """A whole recipe's settings of transcripts."""
    return {
        "inputs": {"sound": {"columns": ["sound"], "modality": "audio", "encoder": encoder}},
        "outputs": {"said": {"column": "said", "head": {"name": "text", **head}}},
        "training": {"batch_size": 32, "learning_rate": 1e-3, **training},
    }


@row
def words(run: Run) -> Section:
    section = Section(
        "Spoken digits as words",
        "Free Spoken Digit Dataset, the official 300 test recordings, from scratch, written character by character. "
        "To reach: WER of at most 3 %. In percent.",
        HEAD,
    )
    for name, head in DECODERS.items():
        recipe = settings(head, "spectrogram_cnn", epochs=30)
        frame = cache(partial(digits, quick=run.quick))
        found = run.each(f"words/{name}", lambda seed, r=recipe, f=frame: writer(run, f, r, seed, WAYS)[1])
        section.lines += _lines(name, found)
    return section


def _lines(name: str, found: list[Made]) -> list[list[str]]:
    return (
        [[name, way, *cells(found, way, SHOWN), format_minutes(found), number_of_seeds(found)] for way in WAYS]
        if found
        else []
    )


@row
def digit_strings(run: Run) -> Section:
    section = Section(
        "Strings of three to seven spoken digits, speakers never heard",
        f"Recordings joined with pauses of {PAUSES[0]} to {PAUSES[1]} s: {MADE['train']:,} strings of three speakers "
        f"train, {MADE['val']:,} of a fourth validate, {MADE['test']:,} of two others test. From scratch. In percent.",
        HEAD,
    )
    for name, head in DECODERS.items():
        recipe = settings(head, {"name": "spectrogram_cnn", "seconds": 8.0}, epochs=20)
        key = f"digit_strings/{name}"
        frame = partial(strings, run.work / "strings", quick=run.quick)
        found = run.each(key, lambda seed, r=recipe, f=frame: writer(run, f, r, seed, WAYS)[1])
        section.lines += _lines(name, found)
    return section
