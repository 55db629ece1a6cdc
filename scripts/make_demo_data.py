"""Makes the files in ``src/polyfuse/digits``: 1,797 handwritten digits and the spoken digits of the demo.

The pictures are scikit-learn's copy of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI, 1998,
CC BY 4.0), kept without loss. The speech is spoken by the program ``espeak-ng``. Both are needed by this script alone:

    apt install espeak-ng && pip install scikit-learn && python scripts/make_demo_data.py

The same espeak-ng says the same samples; the OGG file differs by the random serial number that libsndfile gives it.
"""

from __future__ import annotations

import json
import subprocess
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from PIL import Image
from sklearn.datasets import load_digits

FOLDER = Path(__file__).parents[1] / "src" / "polyfuse" / "digits"
SEED = 0
COLUMNS = 43  # of the sheet of digits
LANGUAGES = {"en": "en-us", "zh": "cmn", "de": "de", "fr": "fr-fr", "es": "es", "hi": "hi"}
# espeak-ng's voice variants; some are near copies of each other (f2 and f5, rob and robert): never across splits
VOICES = {
    "train": "m1 m3 m4 m6 m8 Andy Mike david gustave sandro f1 f3 f5 Alicia Annie aunty grandma linda",
    "val": "Denis m2 anika f4",
    "test": "Storm boris m7 pedro rob belinda steph",
}
SPEED = (130, 190)  # words per minute
PITCH = (35, 65)  # espeak-ng's scale of 0 to 99, around the voice's own
SPOKEN_RATE, RATE = 22_050, 8_000  # Hz: what espeak-ng gives, what is kept
GAP = 0.02  # seconds of silence between clips, or the codec smears one into the next
PEAK = 0.7
COMPRESSION = 0.95  # libsndfile's scale for Vorbis, 1 = smallest


def main() -> None:
    """Writes both pairs of files, an index beside each."""
    write_digits()
    write_speech()


def write_digits() -> None:
    """One grey sheet of 8x8 tiles; ink goes from 0 to 16, times 15 to be seen in any viewer."""
    digits = load_digits()
    count, side = len(digits.target), digits.images.shape[1]
    rows = -(-count // COLUMNS)
    tiles = np.zeros((rows * COLUMNS, side, side), np.uint8)
    tiles[:count] = digits.images * 15
    sheet = tiles.reshape(rows, COLUMNS, side, side).swapaxes(1, 2).reshape(rows * side, COLUMNS * side)
    Image.fromarray(sheet).save(FOLDER / "digits.png", optimize=True)
    index = {"side": side, "ink": 15 * 16, "labels": "".join(map(str, digits.target))}
    (FOLDER / "digits.json").write_text(json.dumps(index) + "\n", encoding="utf8")


def write_speech() -> None:
    """Every voice says every digit in every language, once, with a speed and pitch of its own."""
    voices = {voice: split for split, names in VOICES.items() for voice in names.split()}
    check_voices(voices)
    jobs = list(product(voices, LANGUAGES, range(10)))
    with ThreadPoolExecutor() as pool:
        clips = list(pool.map(lambda job: say(*job), jobs))
    gap = round(GAP * RATE)
    starts = np.cumsum([0] + [len(clip) + gap for clip in clips])
    index = {
        "rate": RATE,
        "splits": voices,
        "voice": [job[0] for job in jobs],
        "language": [job[1] for job in jobs],
        "digit": [job[2] for job in jobs],
        "start": starts[:-1].tolist(),
        "length": [len(clip) for clip in clips],
    }
    (FOLDER / "speech.json").write_text(json.dumps(index, separators=(",", ":")) + "\n", encoding="utf8")
    compress(np.concatenate([np.pad(clip, (0, gap)) for clip in clips]), FOLDER / "speech.ogg")


def check_voices(names: Iterable[str]) -> None:
    """espeak-ng takes its default voice in silence where it does not know a variant: two splits would share a speaker.

    Raises:
        RuntimeError: a name that the installed espeak-ng does not list.
    """
    listed = subprocess.run(["espeak-ng", "--voices=variant"], capture_output=True, check=True, text=True).stdout
    unknown = set(names) - {line.split("!v/")[1].split()[0] for line in listed.splitlines() if "!v/" in line}
    if unknown:
        raise RuntimeError(f"expected voice variants of espeak-ng, found {sorted(unknown)}: see --voices=variant")


def say(voice: str, language: str, digit: int) -> np.ndarray:
    """One spoken digit, trimmed, at the shipped rate and loudness.

    Raises:
        RuntimeError: espeak-ng says nothing, or complains, as it does of an unknown language.
    """
    rng = np.random.default_rng([SEED, zlib.crc32(f"{voice} {language} {digit}".encode())])
    speed, pitch = rng.integers(*SPEED), rng.integers(*PITCH)
    name = f"{LANGUAGES[language]}+{voice}"
    command = ["espeak-ng", "-v", name, "-s", str(speed), "-p", str(pitch), "--stdout", str(digit)]
    done = subprocess.run(command, capture_output=True, check=True)
    pcm = np.frombuffer(done.stdout[44:], "<i2")  # a stream's WAV header tells no length: skip it
    if done.stderr or not pcm.any():
        raise RuntimeError(f"{' '.join(command)}: expected sound, found {len(pcm)} samples; {done.stderr.decode()}")
    clip = trim(soxr.resample(pcm.astype(np.float32), SPOKEN_RATE, RATE))
    return clip * (PEAK / np.abs(clip).max())


def trim(clip: np.ndarray, floor: float = 0.02) -> np.ndarray:
    """The part above ``floor`` times the peak, with 10 ms before it and 30 ms after it."""
    loud = np.flatnonzero(np.abs(clip) > floor * np.abs(clip).max())
    return clip[max(0, loud[0] - RATE // 100) : loud[-1] + 3 * RATE // 100]


def compress(sound: np.ndarray, path: Path) -> None:
    """Writes OGG Vorbis in blocks of ten seconds: libsndfile overflows its stack on long ones."""
    keywords = {"format": "OGG", "subtype": "VORBIS", "compression_level": COMPRESSION}
    with sf.SoundFile(path, "w", RATE, 1, **keywords) as file:
        for start in range(0, len(sound), 10 * RATE):
            file.write(sound[start : start + 10 * RATE])


if __name__ == "__main__":
    main()
