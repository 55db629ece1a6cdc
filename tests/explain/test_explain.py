"""From a table to explanations: every modality, every method, from Python, on the command line, and as a page."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import polyfuse as pf
from polyfuse.api.explaining import explain_exported
from polyfuse.cli import app
from polyfuse.explain.rows import explain_records
from polyfuse.registry import EXPLAINERS
from tests.explain.planted import Planted
from tests.tiny import FAST, write_table

COLUMNS = ["photo", "sound", "words", "area", "kind"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    table = write_table(folder)
    settings = (*FAST, "ensemble.members=[]")
    options = {"inputs": COLUMNS, "split": "split", "settings": settings, "quiet": True, "to": folder / "model"}
    return pf.fit(table, outputs=["label", "price"], **options), table, folder


def run(*arguments):
    said = CliRunner().invoke(app, ["explain", *map(str, arguments)])
    assert said.exit_code == 0, said.output
    return said.stdout


def test_contributions_add_up_and_are_those_of_the_prediction(fitted):
    model, table, _ = fitted
    label, price = model.explain(table, 7, verbose=False)
    said = model.predict(table, verbose=False).iloc[7]
    assert (label.output, label.label, price.output, price.label) == ("label", said.label, "price", None)
    assert label.score == pytest.approx(said.label_confidence, abs=1e-5)
    assert price.score == pytest.approx(said.price, rel=1e-4)
    for one in (label, price):
        assert one.parts[0].scores.sum() == pytest.approx(one.total, abs=1e-5)
        assert one.total == pytest.approx(one.score - one.base, abs=1e-5)


def test_occlusion_has_every_modality_and_a_page(fitted):
    model, table, folder = fitted
    found = model.explain(table, [7, 8], method="occlusion", output="label", to=folder / "page.html", verbose=False)
    assert [one.row for one in found] == [7, 8]
    assert {part.kind for part in found[0].parts} == {"column", "image", "audio", "text"}
    assert all(np.isfinite(part.scores).all() for one in found for part in one.parts)
    page = (folder / "page.html").read_text()
    assert "<script" not in page
    assert "Row 7" in page
    assert page.count("data:image/png") == 6  # of each row the picture, its map, and the sound
    assert "row 7" in found._repr_html_()


def test_what_a_row_misses_has_no_score(fitted):
    model, table, _ = fitted
    (found,) = model.explain(table, 0, output="label", verbose=False)
    scores = dict(zip(found.parts[0].labels, found.parts[0].scores, strict=True))
    assert scores["image"] == 0
    assert any(scores.values())
    (found,) = model.explain(table, 0, method="occlusion", output="label", verbose=False)
    assert "photo" not in {part.column for part in found.parts}


def test_a_file_that_is_gone_is_said_and_missing(fitted):
    model, folder = fitted[0], fitted[2]
    row = {**dict.fromkeys(COLUMNS), "photo": "gone.png", "words": "bright loud <b>morning</b>"}
    found = model.explain(row, output="label", method="occlusion", media_root=folder, verbose=False)
    assert "gone.png" in model.notes[0]
    assert {part.kind for part in found[0].parts} == {"column", "text"}
    assert "<b>morning" not in found.to_html(folder / "gone.html").read_text()


def test_decimal_commas_are_read_as_in_training(tmp_path):
    rows = [{"size": f"{n},5", "note": "house", "price": float(n)} for n in range(1000, 1040)]
    model = pf.fit(pd.DataFrame(rows), outputs=["price"], settings=FAST, quiet=True)
    assert model.recipe.data.formats == {"size": "comma"}
    (found,) = model.explain(pd.DataFrame(rows), 3, verbose=False)
    assert found.record["size"] == 1003.5
    assert found.score == pytest.approx(model.predict(pd.DataFrame(rows), verbose=False).price[3], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rows": 60}, "no row 60 in table.csv: its rows go from 0 to 59"),
        ({"rows": -1}, "no row -1"),
        ({"rows": 1, "where": "label == 'a'"}, "row 1 of .*where"),
        ({"method": "tea"}, "unknown explainer 'tea'.*contribution.*occlusion"),
        ({"output": "colour"}, "unknown output 'colour'.*label, price"),
        ({"output": "label", "label": "z"}, "no label 'z'. Known: a, b"),
        ({"label": "a"}, "name the output"),
        ({"options": {"size": 3}}, "explainer 'contribution'.*size"),
        ({"to": "page.csv"}, "page.csv|ending"),
    ],
)
def test_what_cannot_be_explained_is_said(fitted, options, words):
    model, table, _ = fitted
    with pytest.raises(ValueError, match=words):
        model.explain(table, **options)


def test_a_row_without_anything_is_refused(fitted):
    with pytest.raises(ValueError, match="row 0: every input is missing"):
        fitted[0].explain(dict.fromkeys(COLUMNS))


def test_an_output_without_scores_is_refused():
    servant = Planted(lambda row: 1.0, {"n": "number"})
    servant.outputs = {**servant.outputs, "story": type(servant.outputs["size"])("story", "text", writes=True)}
    with pytest.raises(ValueError, match=r"'story' \(text\) has scores.*attend"):
        explain_records(servant, [{"n": 1}], output="story")


def test_the_command_prints_writes_and_draws(fitted):
    _, table, folder = fitted
    assert "row 3, label = " in run(folder / "model", table, "--row", 3)
    said = json.loads(run(folder / "model", table, "--row", 3, "--row", 5, "--output", "label", "--json"))
    assert [one["row"] for one in said["rows"]] == [3, 5]
    options = ["--method", "occlusion", "--set", "patches=2", "--label", "a", "--output", "label"]
    page = folder / "drawn.html"
    said = json.loads(run(folder / "model", table, *options, "--row", 4, "--html", page, "--json"))
    (picture,) = (part for part in said["rows"][0]["parts"] if part["kind"] == "image")
    assert len(picture["scores"]) == 4
    assert said["rows"][0]["label"] == "a"
    assert "Row 4" in page.read_text()


@pytest.mark.slow
def test_an_exported_folder_is_explained_without_torch(fitted):
    pytest.importorskip("onnxscript")
    _, table, folder = fitted
    options = {"inputs": ["words", "area"], "split": "split", "settings": FAST, "quiet": True}
    model = pf.fit(table, outputs=["price"], **options)
    model.export(folder / "onnx")
    for method in ("contribution", "occlusion"):
        (said,) = json.loads(run(folder / "onnx", table, "--row", 9, "--method", method, "--json"))["rows"]
        (own,) = model.explain(table, 9, method=method, verbose=False)
        assert own.score == pytest.approx(said["score"], rel=1e-4)
        for part, written in zip(own.parts, said["parts"], strict=True):
            np.testing.assert_allclose(part.scores, written["scores"], atol=5e-4)
    for method in ("integrated_gradients", "attention"):
        with pytest.raises(ValueError, match=f"{method} looks into a network.*exported folders.*occlusion"):
            explain_exported(folder / "onnx", table, [9], method=method)


def test_one_of_your_own_is_found_by_its_address(fitted):
    model, table, _ = fitted
    (found,) = model.explain(table, 7, method=f"{__name__}:Constant", output="label", verbose=False)
    assert found.parts[0].scores.tolist() == [1]
    assert set(EXPLAINERS) <= {row.name for row in pf.parts("explainers")}


class Constant:
    """Every row has one input, and it is all that counts."""

    paper = ""

    def explain(self, question):
        from polyfuse.explain.attribution import Attribution, Attributions

        return Attributions([Attribution("inputs", "", np.ones(1), labels=["all"])])


def test_reports_show_what_inputs_brought(fitted):
    model, table, folder = fitted
    report = model.evaluate(table, verbose=False)
    found = {sample.row: sample for sample in report.samples if sample.output == "label"}
    row, sample = next(iter(found.items()))
    (one,) = model.explain(table, row, output="label", verbose=False)
    assert list(sample.contributions) == list(model.recipe.inputs)
    np.testing.assert_allclose(list(sample.contributions.values()), one.parts[0].scores, atol=1e-4)
    page = report.to_html(folder / "report.html").read_text()
    assert page.count('class="brought"') == len(report.samples)
