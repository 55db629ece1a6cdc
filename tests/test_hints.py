"""A user's script that calls the public names holds under strict type checkers, and a wrong one does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import polyfuse as pf
from tests.conftest import PROJECT

pytestmark = pytest.mark.slow

SCRIPT = """
from pathlib import Path
from typing import assert_type

import polyfuse as pf
from polyfuse.sklearn import PolyfuseClassifier, PolyfuseRegressor


def main(folder: Path) -> float:
    table = pf.read_table([{"text": "good", "stars": 5}, {"text": "bad", "stars": 1}], media_root=folder)
    print(len(table), table.notes, table.frame.columns)
    for column in pf.inspect(table, inputs=["stars=number"]).columns:
        print(column["column"], column["modality"])
    recipe = pf.read_recipe(folder / "recipe.yaml")
    assert_type(recipe, pf.Recipe)
    recipe.training.epochs = 5
    recipe.training.time = None
    model = pf.fit(recipe, table=table, outputs="stars", settings={"training": {"epochs": 2}}, time="5m", to=folder)
    assert_type(model, pf.Model)
    assert_type(pf.load(folder, device="cpu"), pf.Model)
    report = model.evaluate(folder / "test.csv", where="split == 'test'", costs={"fraud": 10})
    report.to_html(folder / "report.html")
    print(report.to_json()["rows"], model.notes, model.recipe.inputs["text"].columns)
    if model.evaluation is not None:
        model.evaluation.to_html("again.html")
    model.robustness(table, severities=[0.5], corruptions={"text": ["typos"]}).to_json()
    print(model.summary(table), model.predict({"text": "good"}, with_table=True), model.embed(table).shape)
    model.zero_shot(table, labels=["a dog", "a cat"])
    model.save("elsewhere")
    found = pf.compare(table, outputs="stars", fusions=["concat", "gated"], budget="10m", say=print)
    found.to_html("comparison.html")
    index = pf.index(model, table, to="photos.index")
    assert_type(index, pf.Index)
    print(index.search("a dog", k=3, where="year > 2010"), pf.Index.open("photos.index").inputs)
    print([part.name for part in pf.parts("fusions")], pf.demo(to="demo").to_json(), pf.__version__)
    pf.run_service(["house-price"], port=0)
    pf.register("fusion", "mine", "my_package.my_module:Mine")
    PolyfuseClassifier(media_root=folder).fit([[1.0]], [0])
    return float(PolyfuseRegressor(time="1m").fit([[1.0]], [0.5]).predict([[1.0]])[0])
"""
WRONG = """
import polyfuse as pf

pf.fit("table.csv", output="price")
model = pf.load("model")
model.evalute("table.csv")
pf.fitt
len(pf.parts("fusions")[0].name + 1)
"""


def checked(command: list[str], text: str, folder: Path) -> tuple[int, str]:
    script = folder / "script.py"
    script.write_text(text, encoding="utf8")
    environment = {**os.environ, "MYPYPATH": str(PROJECT / "src"), "PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run([*command, str(script)], cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def mypy(tmp_path_factory) -> list[str]:
    """Strict for the script; of the package itself the types alone are read, as of one that is installed."""
    kept = tmp_path_factory.mktemp("mypy")
    return [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", str(kept)]


def test_a_users_script_holds_under_mypy_strict(mypy, tmp_path):
    status, said = checked(mypy, SCRIPT, tmp_path)
    assert status == 0, said


def test_a_wrong_script_does_not(mypy, tmp_path):
    status, said = checked(mypy, WRONG, tmp_path)
    assert status == 1
    lines = {int(line.split(":")[1]) for line in said.splitlines() if ": error:" in line}
    assert lines == {4, 6, 7, 8}, said


def test_the_script_uses_every_public_name():
    assert [name for name in pf.__all__ if f"pf.{name}" not in SCRIPT] == []


@pytest.mark.skipif(shutil.which("pyright") is None, reason="pyright is not installed: pip install pyright")
def test_a_users_script_holds_under_pyright(tmp_path):
    settings = (
        f'{{"extraPaths": ["{PROJECT / "src"}"], "typeCheckingMode": "strict", "reportUnknownMemberType": false}}'
    )
    (tmp_path / "pyrightconfig.json").write_text(settings)
    status, said = checked(["pyright", "--pythonpath", sys.executable], SCRIPT, tmp_path)
    assert status == 0, said
