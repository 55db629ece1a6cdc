"""Pictures and sounds out, from the table to the files: fit, judge, predict, save, with cells as they come."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner

import polyfuse as pf
from polyfuse.cli import app
from tests.tiny import FAST, write_table

SMALL = ("outputs.photo.head.base=8", "outputs.photo.head.decode.steps=2")
SHORT = ("outputs.sound.head.channels=8", "outputs.sound.head.depth=1", "outputs.sound.head.decode.steps=2")
QUICK = (*FAST, "training.epochs=1")


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_table(tmp_path_factory.mktemp("made"), rows=24)


@pytest.fixture(scope="module")
def painter(table):
    """Words and a kind -> a picture."""
    settings = [*QUICK, *SMALL]
    return pf.fit(table, outputs=["photo"], inputs=["words", "kind"], split="split", settings=settings, verbose=False)


def test_a_picture_column_becomes_an_image_output_and_is_judged(painter, table):
    assert painter.recipe.outputs["photo"].head.name == "image"
    report = painter.evaluate(table, where="split == 'test'", verbose=False)
    found = report.outputs["photo"]
    assert set(found.headline) <= set(found.metrics)
    assert 0 <= found.metrics["match"] <= 1
    assert found.decoding["steps"] == 2
    assert report.missing_modality[0]["inputs"] == list(painter.recipe.inputs)
    json.dumps(report.to_json(), allow_nan=False)


def test_a_picture_is_no_text_to_stream_or_to_look_at(painter, table):
    for asked in (painter.stream, painter.attend):
        for output in (None, "photo"):
            with pytest.raises(ValueError, match="writes"):
                asked(table, output=output)


def test_predictions_are_pixels_in_python_and_files_beside_a_table(painter, table, tmp_path):
    found = painter.predict(table, to=tmp_path / "out.csv", verbose=False)
    assert all(cell.shape == (16, 16, 3) and cell.dtype == np.uint8 for cell in found["photo"])
    written = pd.read_csv(tmp_path / "out.csv")
    assert written["photo"][3] == "out_files/photo/3.png"
    for row in (0, 3):
        assert np.array_equal(np.asarray(Image.open(tmp_path / written["photo"][row])), found["photo"][row])
    assert any("out_files" in note for note in painter.notes)
    painter.predict(table, to=tmp_path / "out.v2.csv", decode={"seed": 1}, verbose=False)
    assert np.array_equal(np.asarray(Image.open(tmp_path / written["photo"][0])), found["photo"][0])  # as it was
    again = painter.predict(table, decode={"guidance": 3.0, "seed": 1}, verbose=False)
    assert not np.array_equal(again["photo"][0], found["photo"][0])
    read = pf.read_table(tmp_path / "out.csv")  # its paths lead to the pictures
    assert (read.root / read.frame["photo"].iloc[0]).is_file()

    own = tmp_path / "mine_files" / "photo"
    own.mkdir(parents=True)
    (own / "3.png").write_bytes(b"somebody's")
    for _ in range(2):  # the second goes over the first, neither over what was there
        painter.predict(table, to=tmp_path / "mine.csv", verbose=False)
        assert pd.read_csv(tmp_path / "mine.csv")["photo"][3] == "mine_files_2/photo/3.png"
    assert (own / "3.png").read_bytes() == b"somebody's"
    assert not (tmp_path / "mine_files_3").exists()


def test_the_command_line_takes_guidance_and_steps(painter, table, tmp_path):
    painter.save(tmp_path / "model")
    call = ["predict", str(tmp_path / "model"), str(table), "--to", str(tmp_path / "a b.csv")]
    done = CliRunner().invoke(app, [*call, "--set", "decode.guidance=2", "--set", "decode.steps=1"])
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "a b_files" / "photo").glob("*.png"))) == 24
    wrong = CliRunner().invoke(app, [*call, "--set", "decode.beams=2"])
    assert wrong.exit_code != 0
    loaded = pf.load(tmp_path / "model")
    one, other = (model.predict(table, verbose=False)["photo"] for model in (painter, loaded))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_sounds_are_made_of_a_category_and_written_as_files(table, tmp_path):
    settings = [*QUICK, *SHORT]
    model = pf.fit(table, outputs=["sound"], inputs=["label"], split="split", settings=settings, verbose=False)
    assert model.recipe.outputs["sound"].head.name == "speech"
    report = model.evaluate(table, where="split == 'test'", verbose=False)
    assert report.outputs["sound"].metrics["mcd"] > 0
    found = model.predict(table, to=tmp_path / "out.jsonl", verbose=False)
    samples, rate = soundfile.read(tmp_path / "out_files" / "sound" / "5.wav")
    assert rate == found["sound"][5]["sampling_rate"] == 8000
    assert len(samples) == len(found["sound"][5]["array"])
    noisy = model.robustness(table, severities=0.5, verbose=False)
    assert "sound" in noisy.headlines


def frame(pictures: list) -> pd.DataFrame:
    return pd.DataFrame({"photo": pictures, "word": [f"{'ab'[n % 2]}" for n in range(len(pictures))]})


def fitted(pictures: list, *settings: str):
    options = [*QUICK, *SMALL, *settings]
    return pf.fit(frame(pictures), outputs=["photo=image"], inputs=["word"], settings=options, verbose=False)


def test_missing_and_damaged_targets_are_counted_and_the_rest_is_learnt():
    pictures = [np.full((9, 9), 20 * n, np.uint8) for n in range(12)]
    model = fitted([*pictures, None, b"no picture"])
    notes = " ".join(model.facts["notes"]) if "notes" in model.facts else " ".join(model.notes)
    assert "1 cell counts as missing, it cannot be read" in notes
    assert "has no target" in notes
    assert len(model.predict(frame([None] * 3), verbose=False)["photo"]) == 3


def test_one_colour_and_huge_pictures_are_said():
    model = fitted([np.zeros((300, 500), np.uint8)] * 12)
    notes = " ".join(model.notes)
    assert "every training picture is the same" in notes
    assert "learnt at 64 x 64" in notes


def test_no_picture_at_all_is_an_error_that_says_so():
    with pytest.raises(ValueError, match=r"every cell is missing|every training cell is missing or broken"):
        fitted([None] * 12)
    with pytest.raises(ValueError, match="no training picture can be read; the first: no picture in a format"):
        fitted([b"no picture"] * 12)


def test_what_needs_scores_is_refused_by_name(table):
    options = {"inputs": ["words", "kind"], "fusion": "decision", "verbose": False}
    with pytest.raises(ValueError, match="has none; expected another fusion"):
        pf.fit(table, outputs=["photo"], settings=list(QUICK), **options)
