"""Bad input is normal input: a clear error, or a counted and reported missing value, and nothing lost."""

from __future__ import annotations

import errno
import os
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
import soundfile

import polyfuse as pf
from polyfuse.model.bundle import BundleError
from tests.tiny import FAST, write_table

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path / "tiny", rows=40)


def fit(table, inputs, output="label", **more):
    return pf.fit(table, outputs=[output], inputs=inputs, settings=FAST, quiet=True, **{"split": "split"} | more)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judge")
    made = fit(write_table(folder, rows=40), ["photo", "sound", "words", "area"], to=folder / "model")
    return made, folder


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"output": "lable"}, "no column 'lable'; did you mean 'label'"),
        ({"inputs": ["phto"]}, "'phto' does not exist; did you mean 'photo'"),
        ({"split": "splitt"}, "'splitt'; did you mean 'split'"),
        ({"group": "lbl"}, "'lbl'"),
        ({"where": "area > 1e9"}, "keeps none of the 40 rows"),
        ({"where": "areaa > 1"}, "areaa"),
        ({"inputs": ["label"]}, "is an output"),
    ],
)
def test_misspelt_names_are_suggested(table, more, message):
    with pytest.raises(ValueError, match=message):
        fit(table, **{"inputs": ["area"]} | more)


def test_no_rows_and_no_file(tmp_path):
    (tmp_path / "empty.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match="has no rows"):
        pf.fit(tmp_path / "empty.csv", outputs=["b"])
    (tmp_path / "nothing.csv").write_text("")
    with pytest.raises(ValueError, match="empty"):
        pf.fit(tmp_path / "nothing.csv", outputs=["b"])
    with pytest.raises(ValueError, match=r"empty\.csv"):
        pf.fit(tmp_path / "emty.csv", outputs=["b"])


def test_one_class_only(table):
    frame = pd.read_csv(table).assign(label="a")
    with pytest.raises(ValueError, match="every training row has the label 'a'"):
        fit(frame, ["area"], output="label=category")


def test_a_column_without_any_cell(table):
    frame = pd.read_csv(table).assign(words=None)
    with pytest.raises(ValueError, match="every cell is missing"):
        fit(frame, ["words"])
    model = fit(frame, [], media_root=table.parent)
    assert "text" not in model.recipe.inputs


def test_a_column_whose_training_cells_are_all_gone(table):
    frame = pd.read_csv(table)
    frame.loc[frame.split == "train", "words"] = None
    with pytest.raises(ValueError, match="'words': every training cell is missing or broken"):
        fit(frame, ["words=text"])


def huge_png(path, side=20_000):
    """A valid header of a 20,000 x 20,000 picture."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def test_broken_media_count_as_missing_and_are_reported_with_row_and_file(model):
    made, folder = model
    frame = pd.read_csv(folder / "table.csv").iloc[10:].reset_index(drop=True)
    (folder / "corrupt.png").write_bytes((folder / "12.png").read_bytes()[:60])
    (folder / "zero.png").write_bytes(b"")
    huge_png(folder / "huge.png")
    (folder / "corrupt.wav").write_bytes(b"RIFF but not really")
    (folder / "zero.wav").write_bytes(b"")
    soundfile.write(folder / "hollow.wav", np.zeros(0), 8000)
    for row, name in enumerate(("corrupt.png", "zero.png", "huge.png", "absent.png")):
        frame.loc[row, "photo"] = name
    for row, name in enumerate(("corrupt.wav", "zero.wav", "hollow.wav")):
        frame.loc[row, "sound"] = name
    report = made.evaluate(frame, media_root=folder).to_json()
    assert report["rows"] == 30
    photos = {cell["file"]: cell["reason"] for cell in report["broken"]["photo"]}
    assert list(photos) == ["corrupt.png", "zero.png", "huge.png", "absent.png"]
    assert "zero bytes" in photos["zero.png"]
    assert "pixels" in photos["huge.png"]
    assert "no such file" in photos["absent.png"]
    assert "row 0" in report["broken"]["photo"][0]["row"]
    assert [cell["file"] for cell in report["broken"]["sound"]] == ["corrupt.wav", "zero.wav", "hollow.wav"]
    made.predict(frame, media_root=folder)
    for column, file in (("photo", "corrupt.png"), ("sound", "corrupt.wav")):
        assert any(note.startswith(f"column {column!r}: ") and f"{file}: " in note for note in made.notes)
    frame.loc[:, "photo"] = None
    clean = made.predict(frame, media_root=folder)
    assert len(clean) == 30


def test_too_many_broken_cells_stop_the_run(table):
    frame = pd.read_csv(table)
    with pytest.raises(ValueError, match=r"'photo': every training cell .*1\.png: no such file.*media_root"):
        fit(frame, ["photo=image"])  # a frame has no folder, so no path is found
    spoilt = frame.assign(photo=[f"absent{n}.png" if n % 2 else name for n, name in enumerate(frame.photo)])
    with pytest.raises(ValueError, match=r"20 of 39 cells cannot be read, more than the allowed share of 20%") as error:
        fit(spoilt, ["photo=image"], media_root=table.parent)
    assert "the DataFrame, row 1: absent1.png: no such file" in str(error.value)
    with pytest.raises(ValueError, match=r"'words': 39 of 39 cells cannot be read.*\n.*row 0: .* is not a number"):
        fit(frame, ["words=number"])
    frame.loc[1, "photo"] = "absent.png"
    model = pf.fit(frame, outputs=["label"], inputs=["photo"], split="split", media_root=table.parent, quiet=True,
                   settings=[*FAST, "data.max_broken=0.05"])  # fmt: skip
    assert any("absent.png" in note for note in model.notes)


def test_unusual_sounds_are_heard(model):
    made, folder = model
    time = np.arange(44_100) / 44_100
    sounds = {
        "short.wav": (np.full(80, 0.1), 8000),
        "stereo.wav": (np.stack([np.sin(2000 * time), np.zeros_like(time)], 1) * 0.3, 44_100),
        "long.flac": (np.random.default_rng(0).normal(0, 0.1, 8000 * 60 * 20), 8000),
    }
    for name, (samples, rate) in sounds.items():
        soundfile.write(folder / name, samples, rate)
    frame = pd.DataFrame({"sound": list(sounds), "photo": None, "words": None, "area": None})
    made.predict(frame, media_root=folder)
    assert made.notes == []
    assert np.isfinite(made.embed(frame, media_root=folder)).all()


def test_a_text_of_a_hundred_thousand_characters(model):
    made, _ = model
    frame = pd.DataFrame({"sound": None, "photo": None, "words": ["word 词 🙂 " * 12_000, "\x00\x01"], "area": None})
    assert len(made.predict(frame)) == 2


def test_a_table_in_latin_1(tmp_path):
    rows = "".join(f"{'café' if n % 2 else 'thé'} noir {n},{n % 2}\n" for n in range(40))
    (tmp_path / "t.csv").write_bytes(("words,label\n" + rows).encode("latin-1"))
    model = pf.fit(tmp_path / "t.csv", outputs=["label=category"], inputs=["words=text"], settings=FAST, quiet=True)
    assert any("not UTF-8" in note for note in model.notes)


def test_duplicate_column_names(tmp_path):
    (tmp_path / "t.csv").write_text("a,a,label\n1,2,x\n2,3,y\n")
    with pytest.raises(ValueError, match="'a'"):
        pf.fit(tmp_path / "t.csv", outputs=["label"])


def test_a_label_unseen_in_training(model):
    made, folder = model
    frame = pd.read_csv(folder / "table.csv")
    frame.loc[3, "label"] = "zebra"
    with pytest.raises(ValueError, match=r"row 3: label 'zebra' was not seen in training; known: 'a', 'b'"):
        made.evaluate(frame, media_root=folder)
    report = made.evaluate(frame, media_root=folder, unseen="skip")
    assert report.outputs["label"].rows == 39
    assert any("1 row left out" in note for note in report.meta["notes"])


@pytest.mark.parametrize("file", ["weights.safetensors", "recipe.yaml", "preprocessing/in_0.json"])
def test_a_damaged_or_incomplete_bundle(model, tmp_path, file):
    made, _ = model
    folder = made.save(tmp_path / "copy")
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(BundleError, match=f"{file} is damaged"):
        pf.load(folder)
    (folder / file).unlink()
    with pytest.raises(BundleError, match=f"{file} is missing"):
        pf.load(folder)
    with pytest.raises(BundleError, match="no saved model"):
        pf.load(tmp_path)
    for nothing in ("{}", "[]"):
        (folder / "manifest.json").write_text(nothing)
        with pytest.raises(BundleError, match="names no format, version and checksums"):
            pf.load(folder)


def test_a_full_disk_while_saving_leaves_the_older_model(model, tmp_path, monkeypatch):
    made, _ = model
    folder = made.save(tmp_path / "model")
    before = {f.name: f.read_bytes() for f in folder.iterdir() if f.is_file()}

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match=r"cannot save .*No space left"):
        made.save(folder)
    assert {f.name: f.read_bytes() for f in folder.iterdir() if f.is_file()} == before
    assert [f.name for f in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_is_an_error_that_says_so(model, tmp_path):
    resource = pytest.importorskip("resource")  # a limit on the size of files is the nearest that a test can get
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot save .*I/O error.*free space"):
            model[0].save(tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_saving_never_replaces_what_is_no_model(model, tmp_path):
    made, _ = model
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "final.tex").write_text("years of work")
    with pytest.raises(BundleError, match="is no saved model"):
        made.save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "final.tex").exists()
