"""``polyfuse compress`` and ``polyfuse list compressors``."""

from __future__ import annotations

import json

import pytest

import polyfuse as pf
from polyfuse.cli import main
from polyfuse.compress import measure
from tests.tiny import FAST, write_table

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def run(monkeypatch, capsys):
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


def test_from_the_command_line(run, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "SECONDS", 0.02)
    table = write_table(tmp_path / "tiny", rows=40)
    model = pf.fit(table, outputs=["label"], inputs=["words", "area"], split="split", settings=FAST, quiet=True)
    model.save(tmp_path / "model")
    options = ("--no-memory", "--epochs", 1)
    status, out, err = run(
        "compress", tmp_path / "model", "--method", "distill+quantize", "--to", tmp_path / "small", *options,
        "--inputs", "words", "--set", "distill.width=0.25", "--json",
    )  # fmt: skip
    assert status == 0, err
    found = json.loads(out)
    assert found["after"]["size"] < found["before"]["size"]
    assert pf.load(found["folder"]).recipe.inputs.keys() == {"text"}
    status, out, err = run("compress", tmp_path / "model", "--method", "prune", "--to", tmp_path / "small", *options)
    assert status == 2
    assert "nothing is written over" in err
    status, _, err = run("compress", tmp_path / "tiny", "--method", "prune", "--to", tmp_path / "new")
    assert status == 2
    assert "is no saved model" in err
    status, out, _ = run("compress", tmp_path / "model", "--method", "prune", "--to", tmp_path / "new", *options)
    assert status == 0
    assert "size on disk" in out


def test_methods_are_listed(run):
    status, out, _ = run("list", "compressors", "--json")
    assert status == 0
    assert {row["name"] for row in json.loads(out)} >= {"distill", "prune", "magnitude", "quantize", "low_rank"}
    assert {row["name"] for row in json.loads(run("list", "lessons", "--json")[1])} >= {"logits", "relational"}
