"""Whatever happens to the cache, predictions stay what they are, and what is kept elsewhere is said."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import polyfuse as pf
from polyfuse.model.token_cache import IN_MEMORY
from polyfuse.recipe import parse
from polyfuse.system.cache import cache_root
from tests.tiny import FAST, write_table


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, own_cache):
    table = write_table(tmp_path_factory.mktemp("cache"), rows=24)
    model = pf.fit(table, outputs=["label"], inputs=["photo"], split="split", settings=FAST, quiet=True)
    model.save(table.parent / "m")
    return table, model, model.predict(table)["label_p_a"].to_numpy()


def _zeros(file):
    file.write_bytes(bytes(file.stat().st_size))


def _noise(file):
    file.write_bytes(np.random.default_rng(0).bytes(file.stat().st_size))


@pytest.mark.parametrize("damage", [_zeros, _noise])
@pytest.mark.parametrize("name", ["cells.bin", "index.sqlite"])
def test_a_damaged_cache_changes_no_prediction_and_is_said(fitted, damage, name):
    table, model, expected = fitted
    for file in (cache_root() / "cells").glob(f"*/{name}"):
        damage(file)
    assert np.array_equal(model.predict(table)["label_p_a"], expected)
    assert any("damaged" in note for note in model.notes)
    assert np.array_equal(model.predict(table)["label_p_a"], expected)
    assert not any("damaged" in note for note in model.notes)


def frozen(table, **options):
    eye = {"columns": "photo", "init_from": f"{table.parent / 'm'}#image", "transfer": "frozen", "augment": "none"}
    values = {"inputs": {"eye": eye}, "outputs": {"label": {"column": "label"}}, "data": {"split": "split"}}
    values |= {"training": {"epochs": 2, "batch_size": 16}, "width": 16}
    return pf.fit(parse(values), table=table, quiet=True, **options)


def test_a_cache_that_cannot_be_written_changes_nothing_and_is_said(fitted, tmp_path, monkeypatch):
    table, model, expected = fitted
    taught = frozen(table).predict(table)["label_p_a"]
    (tmp_path / "file").write_text("no folder can be here")
    monkeypatch.setenv("POLYFUSE_CACHE", str(tmp_path / "file"))
    assert np.array_equal(model.predict(table)["label_p_a"], expected)
    assert any("POLYFUSE_CACHE" in note and "decoded media" in note for note in model.notes)
    again = frozen(table)
    assert any("tokens of input 'eye' are kept in memory" in note for note in again.notes)
    assert np.array_equal(again.predict(table)["label_p_a"], taught)
    monkeypatch.setattr("polyfuse.model.token_cache.IN_MEMORY", 10)
    assert IN_MEMORY > 10
    assert any("computed again in every epoch" in note for note in frozen(table).notes)


def test_damaged_tokens_are_made_again(fitted):
    table, *_ = fitted
    shutil.rmtree(cache_root() / "tokens", ignore_errors=True)
    taught = frozen(table).predict(table)["label_p_a"]
    (file,) = (cache_root() / "tokens").glob("*/cells.bin")
    _zeros(file)
    again = frozen(table)
    assert any("made again" in note for note in again.notes)
    assert np.array_equal(again.predict(table)["label_p_a"], taught)


def test_without_a_home_there_is_still_a_place(monkeypatch):
    monkeypatch.delenv("POLYFUSE_CACHE")
    monkeypatch.setattr("os.path.expanduser", lambda _: "~")
    assert cache_root().is_absolute()
