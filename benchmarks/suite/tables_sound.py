"""Tables of short sounds: spoken digits, letters, words of many languages, made speech."""

from __future__ import annotations

import io
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.suite.sources import debian, shared
from benchmarks.suite.table import seed_of, table

RATE = 16_000


def wav(samples_S: np.ndarray, rate: int) -> bytes:
    """A WAV file of at most three seconds, one channel, 16 kHz or less."""
    import soundfile
    import soxr

    samples_S = samples_S if samples_S.ndim == 1 else samples_S.mean(1)
    if rate > RATE:
        samples_S, rate = soxr.resample(samples_S, rate, RATE), RATE
    whole = io.BytesIO()
    soundfile.write(whole, samples_S[: 3 * rate], rate, format="WAV", subtype="PCM_16")
    return whole.getvalue()


def read_sound(path: Path) -> bytes:
    import soundfile

    return wav(*soundfile.read(path, dtype="float32"))


def digits() -> pd.DataFrame:
    """The spoken digits: sound, digit, speaker."""
    frame = pd.read_csv(shared("fsdd", "table.csv")).drop(columns=["take", "split"])
    folder = shared("fsdd")
    return frame.assign(audio=[(folder / name).read_bytes() for name in frame.audio])


@table("sound", "speaker", "classification", family="fsdd", train=600, test=600, audio=["audio"])
def digit_speakers():
    """Who says a digit."""
    return digits().drop(columns="digit")


@table("sound", "digit", "classification", family="fsdd", group="speaker", train=100, test=600, audio=["audio"])
def digits_unseen_100():
    """Digits by speakers unseen, ten clips of each."""
    return digits()


@table("sound", "digit", "classification", family="fsdd", group="speaker", train=500, test=600, audio=["audio"])
def digits_unseen_500():
    """Digits by speakers unseen, fifty clips of each."""
    return digits()


def _by_language(folder: Path, pattern: str, least: int) -> pd.DataFrame:
    rows = []
    for language in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path for path in language.glob(pattern) if path.suffix in (".ogg", ".wav"))
        if len(files) >= least:
            rows += [{"audio": read_sound(path), "language": language.name} for path in files]
    return pd.DataFrame(rows).drop_duplicates("audio")


@table("sound", "language", "classification", audio=["audio"])
def toy_words():
    """Words for parts of toys in twelve languages, few speakers each."""
    return _by_language(debian("ktuberling-data") / "ktuberling" / "sounds", "*", 60)


@table("sound", "language", "classification", family="klettres", audio=["audio"])
def letters():
    """Letters and syllables in many languages, few speakers each."""
    frame = _by_language(debian("klettres-data") / "klettres", "*/*", 40)
    return frame.groupby("language").head(120)


@table("sound", "kind", "classification", family="klettres", train=400, audio=["audio"])
def letter_or_syllable():
    """Whether a letter or a syllable is said, in any language."""
    folder = debian("klettres-data") / "klettres"
    files = [path for path in sorted(folder.glob("*/*/*.ogg")) if path.parts[-3] != "ml"]
    return pd.DataFrame({"audio": [read_sound(path) for path in files], "kind": [path.parts[-2] for path in files]})


VOICES = ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5", "croak", "whisper", "klatt", "klatt2"]
LANGUAGES = ["en", "de", "fr", "es", "it", "pl", "ru", "cmn"]


def _speak(text: str, voice: str, speed: int) -> bytes:
    """Made speech with white noise under it, of a strength of its own."""
    import soundfile

    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["espeak-ng", "-v", voice, "-s", str(speed), "-w", file.name, text]
        subprocess.run(command, check=True, capture_output=True)
        samples_S, rate = soundfile.read(file.name, dtype="float32")
    generator = np.random.default_rng(seed_of(f"{text} {voice} {speed}"))
    noise = generator.uniform(0, 0.5) * samples_S.std() * generator.standard_normal(len(samples_S))
    return wav((samples_S + noise).astype(np.float32), rate)


@table("sound", "language", "classification", family="espeak", group="voice", audio=["audio"])
def made_speech_language():
    """Numbers said by a speech synthesizer in eight languages under noise, voices unseen."""
    generator = np.random.default_rng(0)
    rows = []
    for language in LANGUAGES:
        for voice in VOICES:
            for number in generator.integers(21, 999, 5):
                sound = _speak(str(number), f"{language}+{voice}", int(generator.integers(130, 200)))
                rows.append({"audio": sound, "language": language, "voice": voice})
    return pd.DataFrame(rows)


@table("sound", "speed", "regression", family="espeak", audio=["audio"])
def made_speech_speed():
    """Words a minute of made speech under noise, from the sound."""
    generator = np.random.default_rng(1)
    speeds = generator.integers(90, 300, 400)
    texts = [f"{a} {b} {c}" for a, b, c in generator.integers(1, 60, (400, 3))]
    voices = generator.choice(VOICES, 400)
    sounds = [_speak(text, f"en+{voice}", int(speed)) for text, voice, speed in zip(texts, voices, speeds, strict=True)]
    return pd.DataFrame({"audio": sounds, "speed": speeds.astype(float)})
