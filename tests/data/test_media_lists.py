"""What a cell may hold beside one path: several files, files as text, endings that nothing reads, saved arrays."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

import polyfuse as pf
from polyfuse.data.cells.literals import decode_embedded, parse_list
from polyfuse.data.cells.source import load_media
from polyfuse.data.media_lists import split_media
from polyfuse.data.modalities import infer_columns
from polyfuse.data.rules import cell_key
from polyfuse.data.tables import read_table
from tests.tiny import FAST, write_table

pytestmark = pytest.mark.usefixtures("own_cache")


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(shade).integers(0, 255, (16, 16, 3)).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(800), 8000, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize(
    ("cell", "items"),
    [
        *(("a.jpg", ["a.jpg"]), ("a.jpg;b.jpg", ["a.jpg", "b.jpg"]), ("a.jpg | b.png", ["a.jpg", "b.png"])),
        *(("['a.jpg']", ["a.jpg"]), ('["a.jpg", "b.jpg"]', ["a.jpg", "b.jpg"])),
        ("['a.jpg' 'b.jpg']", ["a.jpg", "b.jpg"]),
        *((["a.jpg", None], ["a.jpg", None]), (("a.jpg",), ["a.jpg"]), ([{"bytes": b"x", "path": None}], None)),
        *(("a;b.jpg", ["a;b.jpg"]), ("a, b and c.jpg", ["a, b and c.jpg"]), ([0.1, 0.2], [[0.1, 0.2]]), ("", [""])),
        (np.array(["a.jpg", "b.jpg"], dtype=object), ["a.jpg", "b.jpg"]),
    ],
)  # fmt: skip
def test_the_media_of_a_cell(cell, items):
    assert split_media(cell) == (list(cell) if items is None else items)


@pytest.mark.parametrize(
    ("text", "members"),
    [
        *(("['a', 'b']", ["a", "b"]), ('["a", "b"]', ["a", "b"]), ("['a' 'b']", ["a", "b"])),
        ("{'b', 'a'}", ["a", "b"]),
        *(("('a', 'b')", ["a", "b"]), ("[]", []), ("set()", []), ("frozenset({'a'})", ["a"]), ("[1, 0]", [1, 0])),
        *(("[1 0]", [1, 0]), ("[\"it's\"]", ["it's"]), ("{'a': 1}", None), ("a, b", None)),
        *(("[draft", None), ("[1)", None)),
        ("[" * 500 + "]" * 500, None),
    ],
)  # fmt: skip
def test_lists_written_as_text(text, members):
    found = parse_list(text)
    assert found == members or (members is None and found and len(text) == 1000)


def test_pictures_and_sounds_as_text_are_read():
    for content, modality in ((png(0), "image"), (wav(), "audio")):
        letters = base64.b64encode(content).decode()
        forms = [
            letters,
            f"data:{modality}/x;base64,{letters}",
            "\n".join(letters[n : n + 76] for n in range(0, 9999, 76)),
        ]
        assert [decode_embedded(form) for form in forms] == [content] * 3
        assert load_media(letters) == content
        for form in forms:
            column = infer_columns(read_table({"a": [form] * 2 + [form + " " * n for n in range(3)]}))["a"]
            assert (column.modality, column.broken) == (modality, 0)
            assert "base64" in column.reason
    for text in (
        "hello",
        "a" * 200,
        "/home/of/someone/and/his/pictures/without/any/ending/at/all/in/a/long/path",
        "data:",
    ):
        assert decode_embedded(text) in (None, b"")


@pytest.mark.parametrize("end", ["HEIC", "svg", "dcm", "nef", "pdf", "mid", "nii.gz", "npz"])
def test_endings_of_media_that_nothing_reads_are_no_text(end):
    column = infer_columns(read_table({"a": [f"IMG_{n}.{end}" for n in range(30)]}))["a"]
    assert (column.modality, column.role) == ("unknown", "unusable")
    assert f".{end}".lower().removesuffix(".gz") in column.reason
    assert ";" in column.reason or "put" in column.reason


@pytest.mark.parametrize(("end", "kind"), [("jp2", "image"), ("psd", "image"), ("caf", "audio"), ("W64", "audio")])
def test_endings_of_media_that_are_read(end, kind):
    assert infer_columns(read_table({"a": [f"{n}.{end}" for n in range(9)]}))["a"].modality == kind


def test_saved_arrays_are_pictures_where_they_have_their_shape(tmp_path):
    for n in range(4):
        np.save(tmp_path / f"{n}.npy", np.full((3, 8, 9), n / 10))
        np.save(tmp_path / f"v{n}.npy", np.zeros(5))
    table = read_table({"p": [f"{n}.npy" for n in range(4)], "v": [f"v{n}.npy" for n in range(4)]}, media_root=tmp_path)
    columns = infer_columns(table)
    assert (columns["p"].modality, columns["p"].broken) == ("image", 0)
    assert columns["v"].modality == "unknown"
    assert "put the arrays themselves" in columns["v"].reason
    assert np.asarray(load_media("2.npy", tmp_path)).shape == (3, 8, 9)


@pytest.mark.parametrize("shape", [(3, 8, 9), (1, 8, 9), (8, 9, 4)])
def test_arrays_with_channels_first_or_last_are_pictures(shape):
    column = infer_columns(read_table({"a": [np.full(shape, n / 5) for n in range(5)]}))["a"]
    assert (column.modality, column.broken) == ("image", 0)


def test_one_short_vector_in_eighty_is_a_missing_cell():
    cells = [np.full(4, n / 80) for n in range(79)] + [np.zeros(3)]
    column = infer_columns(read_table({"a": cells}))["a"]
    assert (column.modality, column.broken) == ("vector", 1)
    model = pf.fit({"a": cells, "y": ["u", "v"] * 40}, outputs=["y"], settings=FAST, quiet=True)
    assert any("'a': 1 cell counts as missing" in note and "expected 4 as in training" in note for note in model.notes)


def test_cells_with_pictures_are_told_apart():
    a, b = np.zeros((30, 40, 3), np.uint8), np.zeros((30, 40, 3), np.uint8)
    b[15, 20] = 1
    assert cell_key([a, a]) != cell_key([a, b])
    assert cell_key({"x", "y"}) == cell_key({"y", "x"})


def test_lists_of_pictures_from_a_dataset_are_pictures():
    record = {"bytes": png(0), "path": None}
    for cells in ([[record, record], [record]] * 5, [[Image.new("RGB", (4, 4))] * 3, [Image.new("RGB", (5, 4))]] * 5):
        column = infer_columns(read_table({"a": cells}))["a"]
        assert (column.modality, column.slots, column.broken) == ("image", len(cells[0]), 0)


def test_several_pictures_of_a_cell_are_slots_that_may_be_missing(tmp_path):
    write_table(tmp_path, rows=40)
    table = pd.read_csv(tmp_path / "table.csv")
    name = "{}.png".format
    photos = [
        [name(n), f"['{n}.png', '{(n + 2) % 40}.png']", f"{n}.png;{(n + 2) % 40}.png;{n}.png"][n % 3] for n in range(40)
    ]
    table["photos"] = [None, *photos[1:]]
    table.loc[5, "photos"] = "5.png;lost.png"
    table[["photos", "label", "split"]].to_csv(tmp_path / "several.csv", index=False)
    column = infer_columns(read_table(tmp_path / "several.csv"))["photos"]
    assert (column.modality, column.slots, column.missing, column.broken) == ("image", 3, 1, 1)
    model = pf.fit(tmp_path / "several.csv", outputs=["label"], settings=FAST, quiet=True, to=tmp_path / "model")
    assert model.recipe.data.slots == {"photos": 3}
    assert any("lost.png: no such file" in note for note in model.notes)
    assert model.fit_report is not None
    frame = pd.DataFrame({"photos": ["1.png", ["1.png"], "['1.png']", "1.png;2.png", "1.png|2.png|3.png|4.png"]})
    answers = pf.load(tmp_path / "model").predict(frame, media_root=tmp_path).filter(like="label_p")
    again = model.predict(frame, media_root=tmp_path).filter(like="label_p")
    assert np.allclose(answers, again)
    assert np.allclose(answers.iloc[:3], answers.iloc[0])
    assert not np.allclose(answers.iloc[3], answers.iloc[0])
    assert any("1 cell holds more than 3, up to 4" in note for note in model.notes)
