"""Texts from recordings: digits, written down character by character; sentences, by a checkpoint as it comes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest

import polyfuse
from tests.conftest import PROJECT
from tests.starter.needed import needed

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SETTINGS = ("training.epochs=25", "training.batch_size=16", "training.learning_rate=0.003", "training.warmup=0.05")


@pytest.mark.slow
def test_spoken_digits_are_written_as_words(real_data):
    """600 clips of three speakers; two minutes on one core, and 96 % of 150 words without a mistake."""
    table = pd.read_csv(real_data / "fsdd" / "table.csv")
    table = table[table.speaker.isin(["george", "theo", "jackson"])].copy()
    table["words"] = [NAMES[digit] for digit in table.digit]
    train, test = table[table.split == "train"].iloc[::2], table[table.split == "test"]
    settings = [*SETTINGS, "inputs.audio.augment=none", "data.fractions=[1,0,0]", "width=64"]
    options = {"media_root": real_data / "fsdd", "settings": [*settings, "outputs.words.head.decoder=ctc"]}
    model = polyfuse.fit(
        train[["audio", "words"]], outputs=["words=text"], inputs=["audio=audio"], preset="plain", quiet=True, **options
    )
    said = model.predict(test, media_root=real_data / "fsdd", verbose=False).words
    closed = model.predict(test, media_root=real_data / "fsdd", decode={"answers": list(NAMES)}, verbose=False).words
    truth = test.words.reset_index(drop=True)
    assert (said.reset_index(drop=True) == truth).mean() > 0.9
    assert (closed.reset_index(drop=True) == truth).mean() > 0.95


@pytest.mark.slow
def test_the_tutorial_writes_a_sentence_down(tmp_path):
    """Its commands as they stand there; a minute on one core."""
    needed("whisper-tiny.en")
    if shutil.which("espeak-ng") is None:
        pytest.skip("needs espeak-ng")
    for name, sentence in (("one", "Good morning, how are you?"), ("two", "This is a small house.")):
        subprocess.run(["espeak-ng", "-w", tmp_path / f"{name}.wav", sentence], check=True)
    (tmp_path / "clips.csv").write_text(
        'audio,words\none.wav,"Good morning, how are you?"\ntwo.wav,This is a small house.\n'
    )
    section = (PROJECT / "docs" / "tutorial.md").read_text(encoding="utf8").split("## A checkpoint that writes")[1]
    commands = "".join(re.findall(r"^```\n(.*?)^```", section, re.M | re.S)[:2])
    script = f'set -e\npolyfuse() {{ {sys.executable} -m polyfuse "$@"; }}\n{commands}'
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True)
    assert pd.read_csv(tmp_path / "words.csv").words.tolist() == ["Seven people live in this house."]
