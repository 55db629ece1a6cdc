"""An exported folder answers as the model does, without torch, and says what is wrong with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import polyfuse as pf
from polyfuse import runtime
from polyfuse.cli import app
from polyfuse.export import to_onnx
from polyfuse.runtime import ExportError


@pytest.fixture(scope="module")
def served(exported):
    return runtime.load(exported, threads=1)


def same(answers, predicted):
    """Whether answers are those of a table of predictions."""
    assert [row["label"].value for row in answers] == predicted["label"].tolist()
    np.testing.assert_allclose([row["price"].value for row in answers], predicted["price"], rtol=1e-4)
    for label in "ab":
        found = [row["label"].probabilities[label] for row in answers]
        np.testing.assert_allclose(found, predicted[f"label_p_{label}"], atol=1e-4)
    np.testing.assert_allclose([row["label"].confidence for row in answers], predicted["label_confidence"], atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_it_answers_as_the_model_does(model, served, table, records, count):
    """At any number of rows, cells missing in some."""
    answers, _ = served.predict(records[:count])
    same(answers, model.predict(str(table), verbose=False).iloc[:count])


def test_every_subset_of_inputs_gives_what_the_model_gives(model, served, records):
    subsets = [["columns", "text"], ["columns"], ["text"], []]
    found = served.scores(records[:7], subsets)
    assert found["label"].shape == (4, 7, 2)
    assert found["price"].shape == (4, 7, 1)
    reads = {"columns": ("area", "kind"), "text": ("words",)}
    for own, keep in enumerate(subsets):
        gone = {column for name, columns in reads.items() if name not in keep for column in columns}
        rows = [{key: None if key in gone else value for key, value in row.items()} for row in records[:7]]
        predicted = model.predict(rows, verbose=False)
        np.testing.assert_allclose(found["label"][own][:, 0], predicted["label_p_a"], atol=1e-4)
        np.testing.assert_allclose(found["price"][own][:, 0], predicted["price"], rtol=1e-4)
        without = [name for name in reads if name not in keep]
        same(served.predict(records[:7], without=without)[0], predicted)


def test_vectors_are_those_of_the_model_and_missing_ones_are_nan(model, served, table, records):
    np.testing.assert_allclose(served.embed(records)[2:], model.embed(str(table))[2:], atol=1e-4)
    words = served.embed(records, input="text")
    assert np.isnan(words[2]).all()  # its words are missing
    np.testing.assert_allclose(words[3:], model.embed(str(table), of="text")[3:], atol=1e-4)
    assert np.isnan(served.embed([{}])).all()


def test_odd_rows_count_as_missing_and_are_said(served):
    odd = [{"words": "   ", "area": "many"}, {"words": "ein Wort 字", "kind": "never seen", "area": "3.5"}, {}]
    answers, notes = served.predict(odd)
    assert len(answers) == 3
    assert any("'area'" in note and "row 0" in note for note in notes)
    assert any("'kind'" in note and "never seen" in note for note in notes)
    assert served.predict([]) == ([], [])
    assert served.scores([], [["text"]])["label"].shape == (1, 0, 2)
    with pytest.raises(ValueError, match="no input 'photo'"):
        served.predict(odd, without=["photo"])
    with pytest.raises(ValueError, match="list of rows"):
        served.predict({"words": "one"})
    with pytest.raises(ValueError, match="'label' writes no text"):
        served.stream({}, "label")


def test_what_it_says_of_itself(served, model):
    assert served.inputs["columns"].choices["kind"] == ["x", "y"]
    assert served.inputs["text"].modality == "text"
    assert list(served.outputs["label"].labels) == ["a", "b"]
    assert served.manifest["report"]["outputs"]["label"]
    assert served.manifest["recipe"]["fusion"]["name"] == model.recipe.fusion.name


def test_it_imports_neither_torch_nor_pandas_nor_transformers(exported, records, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps(row) for row in records[:3]))
    code = (
        "import sys; from polyfuse.runtime.__main__ import main; main(sys.argv[1:]);"
        "sys.exit(any(n in sys.modules for n in ('torch', 'pandas', 'transformers', 'pydantic', 'onnx')))"
    )
    done = subprocess.run([sys.executable, "-c", code, exported, rows], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(row) for row in said] == [{"label", "price"}] * 3
    assert set(said[0]["label"]) == {"value", "probabilities", "confidence"}


def copied(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "copy")


def test_a_folder_that_is_not_whole_is_refused(exported, tmp_path):
    folder = copied(exported, tmp_path)
    (folder / "joint.onnx").write_bytes((folder / "joint.onnx").read_bytes()[:100])
    with pytest.raises(ExportError, match=r"joint.onnx is changed or damaged"):
        runtime.load(folder)
    (folder / "joint.onnx").unlink()
    with pytest.raises(ExportError, match=r"joint.onnx is missing"):
        runtime.load(folder)


def test_a_broken_graph_is_named_even_where_its_checksum_fits(exported, tmp_path):
    folder = copied(exported, tmp_path)
    (folder / "joint.onnx").write_bytes(b"no graph")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["joint.onnx"] = runtime.folder.checksum(folder / "joint.onnx")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match="cannot be read as an ONNX graph"):
        runtime.load(folder)


def test_other_folders_and_versions_are_refused(model, exported, tmp_path):
    with pytest.raises(ExportError, match="there is no such folder"):
        runtime.load(tmp_path / "nowhere")
    with pytest.raises(ExportError, match="it is a saved model"):
        runtime.load(model.save(tmp_path / "saved"))
    folder = copied(exported, tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 99, "polyfuse": "9.0"}))
    with pytest.raises(ExportError, match=r"exported by polyfuse 9.0"):
        runtime.load(folder)


def test_nothing_is_written_over(model, exported, tmp_path):
    with pytest.raises(ExportError, match="overwrite=True"):
        model.export(exported)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="is no exported model"):
        to_onnx(model, tmp_path, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    with pytest.raises(ValueError, match="unknown format 'onx'; did you mean 'onnx'"):
        model.export(tmp_path / "new", format="onx")
    assert not (tmp_path / "new").exists()


def test_the_command_line_says_what_is_in_the_way(model, exported, tmp_path):
    saved = model.save(tmp_path / "saved")
    done = CliRunner().invoke(app, ["export", str(saved), "--to", str(exported)])
    assert isinstance(done.exception, ExportError)
    assert pf.load(saved).name == "saved"
