"""Attention through the front door: Python, the command line, the report."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner

import polyfuse
from polyfuse.cli import app
from tests.evaluation.test_html import Page

CORNERS = ("top left", "top right", "bottom left", "bottom right")
SMALL = (
    "width=32",
    "preset=plain",
    "training.batch_size=20",
    "training.learning_rate=0.005",
    "inputs.image.augment=none",
    "inputs.image.encoder={name: vit, depth: 1, patch: 8, size: 16}",
    "data.fractions=[0.8,0,0.2]",
)


def corners(folder, rows: int = 40) -> pd.DataFrame:
    """A bright square in one corner of a dim picture, and the corner's name; a sound, words and a number beside it."""
    rng = np.random.default_rng(0)
    found = []
    for n in range(rows):
        corner = n % 4
        pixels = rng.integers(0, 60, (16, 16, 3)).astype(np.uint8)
        top, left = 8 * (corner // 2), 8 * (corner % 2)
        pixels[top + 1 : top + 7, left + 1 : left + 7] = 250
        Image.fromarray(pixels).save(folder / f"{n}.png")
        soundfile.write(folder / f"{n}.wav", rng.normal(0, 0.1, 2000), 8000)
        words = f"square number {n} of some"
        found.append({"image": f"{n}.png", "voice": f"{n}.wav", "words": words, "caption": CORNERS[corner]})
    frame = pd.DataFrame(found)
    frame.loc[0, ["voice", "words"]] = None
    frame.to_csv(folder / "table.csv", index=False)
    return frame


def fitted(table, decoder: str, epochs: int, inputs=("image=image",), more=()):
    settings = [*SMALL, f"training.epochs={epochs}", f"outputs.caption.head.decoder={decoder}", *more]
    return polyfuse.fit(table, outputs=["caption=text"], inputs=list(inputs), settings=settings, quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("corners")
    corners(place)
    return place


@pytest.fixture(scope="module")
def model(folder):
    made = fitted(folder / "table.csv", "{name: transformer, depth: 1}", 2,
                  ["image=image", "voice=audio", "words=text"], ["training.missing=token"])  # fmt: skip
    made.save(folder / "model")
    return made


def test_shares_of_a_row_sum_to_one_and_a_missing_input_gets_none(model, folder):
    said = model.predict(folder / "table.csv", verbose=False).caption.tolist()
    found = model.attend(folder / "table.csv", verbose=False)
    assert [one.text for one in found] == said
    assert [one.row for one in found] == list(range(40))
    assert list(found[0].by_input) == ["image", "audio", "text"]
    for one in found:
        total_W = one.elsewhere_W + sum(look.total_W for look in one.by_input.values())
        np.testing.assert_allclose(total_W, 1, atol=1e-5)
        assert one.by_input["image"].on_grid.shape == (len(one.words), 2, 2)
    assert not found[0].by_input["audio"].share_WT.any()
    assert not found[0].by_input["text"].share_WT.any()
    assert found[1].by_input["audio"].span_T2[-1, 1] == pytest.approx(0.25, abs=0.06)
    alone = model.attend(folder / "table.csv", where="caption == 'top right'", verbose=False)[0]
    np.testing.assert_allclose(alone.by_input["image"].share_WT, found[1].by_input["image"].share_WT, atol=1e-5)


def test_pages_and_files_are_written_by_python_and_the_command_line(model, folder):
    run = CliRunner().invoke(app, ["attend", str(folder / "model"), str(folder / "table.csv"), "--where",
                                   "caption == 'top right'", "--to", str(folder / "maps.html")])  # fmt: skip
    assert run.exit_code == 0, run.output
    text = (folder / "maps.html").read_text("utf8")
    parsed = Page(text)
    assert "script" not in parsed.tags
    assert parsed.tags.count("article") == 10
    assert "image/jpeg" in text
    assert "image/png" in text
    assert "no single input" in parsed.text
    model.attend(folder / "table.csv", to=folder / "maps.jsonl", decode={"max_length": 1}, verbose=False)
    lines = [json.loads(line) for line in (folder / "maps.jsonl").read_text("utf8").splitlines()]
    assert len(lines) == 40
    assert lines[3]["inputs"]["image"]["grid"] == [2, 2]
    assert np.array(lines[3]["inputs"]["audio"]["share"]).shape[1] == len(lines[3]["inputs"]["audio"]["spans"])
    with pytest.raises(ValueError, match="ending of an output file"):
        model.attend(folder / "table.csv", to="maps.csv")
    with pytest.raises(ValueError, match=r"output 'nothing' writes no text; outputs that do: caption"):
        model.attend(folder / "table.csv", output="nothing")


def test_the_report_shows_some_rows_and_stays_small(model, folder, tmp_path):
    report = model.evaluate(folder / "table.csv", verbose=False, decode={"beams": 2})
    some = [sample for sample in report.samples if sample.looked]
    assert 2 <= len(some) <= 6
    assert all(sample.looked.text == sample.prediction for sample in some)
    text = report.to_html(tmp_path / "r.html").read_text("utf8")
    assert "What words were written about" in Page(text).text
    assert len(text) < 600_000


def test_a_text_grows_to_what_is_predicted(model, folder):
    row = {"image": str(folder / "1.png"), "voice": str(folder / "1.wav"), "words": "square number 1 of some"}
    seen = list(model.stream(row))
    said = model.predict(row, verbose=False).caption[0]
    assert seen[-1] == said
    assert all(said.startswith(text) for text in seen)
    assert len(seen) >= len(said.split())
    run = CliRunner().invoke(app, ["predict", str(folder / "model"), str(folder / "table.csv"), "--stream", "--where",
                                   "words == 'square number 1 of some'"])  # fmt: skip
    assert run.stdout == f"{said}\n", run.output
    with pytest.raises(ValueError, match="has 40 rows, and one is written at a time"):
        model.stream(folder / "table.csv")
    for wrong in ([], ["--stream", "--to", "x.csv"], ["--to", "x.csv", "--output", "caption"]):
        run = CliRunner().invoke(app, ["predict", str(folder / "model"), str(folder / "table.csv"), *wrong])
        assert "--stream for the text of one row" in str(run.exception)


def test_decoders_without_attention_say_so(folder):
    made = fitted(folder / "table.csv", "{name: ctc, stretch: 8}", 1)
    with pytest.raises(ValueError, match=r"no attention to show; decoders that do: transformer, gru"):
        made.attend(folder / "table.csv", verbose=False)
    assert not any(sample.looked for sample in made.evaluate(folder / "table.csv", verbose=False).samples)
    table = pd.read_csv(folder / "table.csv")
    plain = polyfuse.fit(folder / "table.csv", outputs=["caption=category"], inputs=["image"],
                         settings=["training.epochs=1", "width=16", "preset=plain"], quiet=True)  # fmt: skip
    with pytest.raises(ValueError, match="no output writes a text"):
        plain.attend(folder / "table.csv", verbose=False)
    assert len(table) == 40
