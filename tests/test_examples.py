"""The notebooks of ``examples/``: committed without results, and every cell runs, in order, in an empty folder."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT

NOTEBOOKS = sorted((PROJECT / "examples").glob("*.ipynb"))


def cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf8"))["cells"]


def code(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "code"]


def run(source: str, names: dict[str, Any], where: str) -> Any:
    """What a notebook would show below a cell: the value of its last line where that is an expression."""
    tree = ast.parse(source, where)
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, where, "exec"), names)
    return eval(compile(last, where, "eval"), names) if last else None


def test_there_are_two():
    assert [path.name for path in NOTEBOOKS] == ["first_model.ipynb", "fusions_and_search.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_committed_without_results(path):
    book = json.loads(path.read_text(encoding="utf8"))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    for cell in book["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_load_nothing_from_elsewhere(path):
    assert not any(mark in source for source in code(path) for mark in ("http", "$POLYFUSE", "starter:"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_and_shows_itself(path, tmp_path, monkeypatch):
    if "pf.index(" in "".join(code(path)):
        pytest.importorskip("lancedb", reason="lancedb is not installed: pip install 'polyfuse[search]'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYFUSE_CACHE", str(tmp_path / "cache"))
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, source in enumerate(code(path)):
        shown = run(source, names, f"{path.name}[{number}]")
        if hasattr(shown, "_repr_html_"):
            assert shown._repr_html_().lstrip().startswith("<")
    if path.stem == "first_model":
        assert names["report"].to_json()["outputs"]["price"]["r2"] > 0.8
        assert names["new"]["price"].notna().all()
    else:
        assert names["right"].mean() > 0.3
        assert len(names["found"]) == 5
