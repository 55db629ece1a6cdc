"""The rows of ``generation.py``: what is written is counted, tables are what they say, and the page."""

from __future__ import annotations

import json
import sys
import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import generation
import generation_answers
import generation_captions
import generation_run
import generation_speech


def _made(bleu: float, wer: float = 0.02) -> dict:
    metrics = dict.fromkeys((*generation_captions.BLEU, *generation_captions.BESIDE), bleu)
    metrics |= dict.fromkeys(generation_speech.SHOWN, wer)
    facts = {"training_seconds": 60.0, "seconds": 120.0, "machine": "a machine", "date": "2026-01-01"}
    return {"written": {"greedy": metrics, "beams 3": metrics}, **facts}


def test_the_page_shows_what_is_measured_beside_what_is_published(tmp_path):
    kept = {"captions_en/gru/0": _made(0.5), "words/ctc/0": _made(0.5), "words/ctc/1": _made(0.5, wer=0.04)}
    (tmp_path / "generation.json").write_text(json.dumps(kept))
    assert generation.main(["--page", "--to", str(tmp_path)]) == 0
    text = (tmp_path / "generation.md").read_text()
    assert "| gru | greedy | 50.0 | 50.0 | 50.0 | 50.0 | 0.500 |" in text
    assert "| soft attention (Xu et al., 2015; VGG) |  | 67.0 | 44.8 | 29.9 | 19.5 |" in text
    assert "| ctc | beams 3 | 3.0 ± 1.4 |" in text
    assert "Not measured yet: chinese captions" in text


def test_a_page_has_as_many_cells_in_every_line(tmp_path):
    kept = {f"{row}/{one}/0": _made(0.5) for row in ("captions_en", "captions_zh") for one in ("gru", "transformer")}
    kept["captions_en/one for all"] = {**_made(0.1)["written"]["greedy"], "machine": "a machine", "date": "2026-01-01"}
    (tmp_path / "generation.json").write_text(json.dumps(kept))
    generation.main(["--page", "--to", str(tmp_path)])
    lines = (tmp_path / "generation.md").read_text().splitlines()
    wide = [line.count("|") for line in lines if line.startswith("|")]
    assert set(wide) == {len(generation_captions.HEAD) + 1}


def test_captions_are_counted_without_case_and_marks():
    assert generation_run.normalize_text("A black dog's  ball , in the Snow .") == "a black dog's ball in the snow"
    found = generation_run.text_metrics([["a dog runs", "the dog runs"]] * 3, ["a dog runs"] * 3, ["image"], "cider_d")
    assert found["bleu_1"] == pytest.approx(1)


def test_one_caption_for_all_is_of_common_words():
    frame = pd.DataFrame(
        {
            "captions_en": [["a dog runs", "a dog sits"], ["some cat"], ["a dog sits"]],
            "split": ["train", "train", "test"],
        }
    )
    assert generation_captions.one_for_all(frame, "captions_en")["bleu_1"] >= 2 / 3


def test_joined_sounds_are_as_long_as_their_parts_and_pauses():
    sounds = [np.ones(800, np.int16), np.ones(400, np.int16)]
    joined = generation_speech._joined(sounds, np.random.default_rng(0))
    low, high = (2 * generation_speech.RATE * seconds for seconds in generation_speech.PAUSES)
    assert 1200 + low <= len(joined) <= 1200 + high
    assert (joined == 1).sum() == 1200


def test_strings_are_of_one_speaker_and_the_same_in_every_run(tmp_path, monkeypatch):
    rows = []
    for speaker in {name for names in generation_speech.STRINGS.values() for name in names}:
        for digit in (1, 7):
            path = tmp_path / f"{speaker}{digit}.wav"
            generation_speech._write(path, np.full(80, digit, np.int16))
            rows.append(
                {"sound": str(path), "said": generation_speech.WORDS[digit], "speaker": speaker, "split": "train"}
            )
    monkeypatch.setattr(generation_speech, "digits", lambda: pd.DataFrame(rows))
    monkeypatch.setattr(generation_speech, "MADE", {"train": 4, "val": 2, "test": 2})
    found = generation_speech.strings(tmp_path / "made")
    assert list(found.split) == ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    for sound, said in zip(found.sound, found.said, strict=True):
        with wave.open(sound) as file:
            read = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        heard = read[read > 0][::80]
        assert [generation_speech.WORDS[digit] for digit in heard] == said.split()
        assert 3 <= len(said.split()) <= 7
    again = generation_speech.strings(tmp_path / "made")
    assert list(again.said) == list(found.said)


def test_neighbours_of_a_translation():
    frame = pd.DataFrame(
        {
            "english": ["red fox", "blue whale", "a red fox"],
            "chinese": ["红狐", ["蓝鲸"], "狐"],
            "split": ["train", "train", "test"],
        }
    )
    assert generation_answers.neighbours(frame) == (["a red fox"], ["红狐"])
