"""Folds: every row judged once by a model that did not see it, mean and spread, one final model of all rows."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import polyfuse
from polyfuse.cli import app, main
from polyfuse.comparison import crossvalidation
from polyfuse.comparison.crossvalidation import fold_splits
from polyfuse.data.tables import read_table
from polyfuse.recipe import RecipeError, parse

ALONE = ["preset=plain", "training.steps=60", "width=16"]
QUICK = ["preset=plain", "training.steps=2", "width=8"]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    a = rng.normal(size=120)
    y = np.where(a + 0.3 * rng.normal(size=120) > 0, "up", "down")
    return pd.DataFrame({"a": a, "b": rng.normal(size=120), "g": np.arange(120) // 4, "t": np.arange(120), "y": y})


def recipe(**data):
    return parse({"data": {"folds": 4, **data}, "outputs": {"y": {"column": "y"}}})


@pytest.mark.parametrize("data", [{}, {"group": "g"}, {"order": "t"}, {"order": "t", "group": "g"}])
def test_folds_are_a_partition_and_respect_classes_groups_and_time(table, data):
    found, said = fold_splits(recipe(**data), read_table(table))
    assert len(found) == 4
    judged = np.concatenate([split.test for split in found])
    assert len(set(judged)) == len(judged), "no row twice"
    assert len(judged) == (120 if "order" not in data else pytest.approx(96, abs=4))
    for split in found:
        train = np.concatenate([split.train, split.val])
        assert not set(train) & set(split.test)
        assert len(split.val)
        if "group" in data:
            assert not set(table.g[train]) & set(table.g[split.test])
        if "order" in data:
            assert table.t[split.train].max() < table.t[split.val].min()
            assert table.t[train].max() < table.t[split.test].min()
        else:
            assert len(train) + len(split.test) == 120
            share = (table.y[split.test] == "up").mean()
            assert share == pytest.approx((table.y == "up").mean(), abs=0.1 if "group" in data else 0.03)
    assert ("stratified" in said) == ("order" not in data)


def test_the_report_has_every_row_once_and_the_final_model_all_rows(table, tmp_path):
    leaky = table.assign(c=table.y.map({"up": 1, "down": 0}) + 0.01 * table.b)
    made = polyfuse.fit(leaky, outputs=["y"], inputs=["c"], folds=3, settings=ALONE, to=tmp_path / "m", quiet=True)
    report = made.evaluation
    assert report.rows == 120
    assert report.outputs["y"].metrics["accuracy"] > 0.95
    folds = report.folds
    assert sum(folds.rows) == 120
    assert len(folds.metrics["y"]["accuracy"]) == 3
    counts = report.outputs["y"].confusion.counts
    right = sum(value * rows for value, rows in zip(folds.metrics["y"]["accuracy"], folds.rows, strict=True))
    assert np.trace(counts) == pytest.approx(right)
    assert made.report["training"]["rows"] == {"train": 120, "val": 0, "test": 0}
    assert any("figures come from 3 folds" in note for note in made.notes)
    assert any("the final model is made of all 120 rows" in note for note in made.notes)
    assert float(made.bundle.network.head("y").temperature) != 1, "calibrated on what the folds said"
    page = report.to_html(tmp_path / "page.html").read_text(encoding="utf8")
    assert "Fold by fold" in page
    assert set(report.seconds) >= {"folds", "training", "judging"}
    assert polyfuse.load(tmp_path / "m").evaluation.folds == folds
    kept = json.loads((tmp_path / "m" / "report.json").read_text(encoding="utf8"))["evaluation"]["folds"]
    assert kept["outputs"]["y"]["accuracy"]["mean"] == pytest.approx(np.mean(folds.metrics["y"]["accuracy"]))
    assert kept["outputs"]["y"]["accuracy"]["std"] == pytest.approx(np.std(folds.metrics["y"]["accuracy"], ddof=1))
    assert "over 3 folds" in (tmp_path / "m" / "card.md").read_text(encoding="utf8")
    pd.testing.assert_frame_equal(polyfuse.load(tmp_path / "m").predict(leaky), made.predict(leaky))


def test_entries_of_one_list_stay_in_one_fold(table):
    lists = pd.DataFrame({"a": [[k, k + 1, k + 2] for k in range(20)], "t": range(20), "y": ["up", "down"] * 10})
    for data in ({}, {"order": "t"}):
        made = recipe(explode=["a"], **data)
        exploded = read_table(lists).exploded(["a"])
        for split in fold_splits(made, exploded)[0]:
            sides = [set(exploded.rows_N[rows]) for rows in (split.train, split.val, split.test)]
            assert sum(map(len, sides)) == len(set.union(*sides))


def test_folds_share_a_time_budget_and_the_device(table, monkeypatch):
    asked, real = [], crossvalidation.fit

    def spy(own, *args, **kwargs):
        asked.append((own.training.time, kwargs["device"], kwargs["judging"]))
        return real(own, *args, **kwargs)

    monkeypatch.setattr(crossvalidation, "fit", spy)
    made = polyfuse.fit(table, outputs=["y"], folds=2, time="9s", settings=QUICK, device="cpu", quiet=True)
    assert made.evaluation.rows == 120
    assert [device for _, device, _ in asked] == ["cpu"] * 3
    assert 0 < asked[0][0] <= 3
    assert all(share < 9 and judging is not None for share, _, judging in asked)


def test_noise_reads_as_noise_whoever_answers(table):
    noise = table.assign(y=np.random.default_rng(3).permutation(table.y))
    tree = "{name: forest, inputs: [columns], extra: true, leaf: 1, features: sqrt, trees: 5}"
    settings = ["training.steps=3", "ensemble.networks=2", "ensemble.folds=2", f"ensemble.members=[{tree}]"]
    made = polyfuse.fit(noise, outputs=["y"], inputs=["a", "b"], folds=2, settings=settings, quiet=True)
    assert made.evaluation.outputs["y"].metrics["accuracy"] < 0.65, "what was learnt by heart would read as skill"


def test_a_stopped_cross_validation_goes_on(table, tmp_path, monkeypatch):
    options = {"outputs": ["y"], "folds": 3, "settings": QUICK, "quiet": True}
    whole = polyfuse.fit(table, **options)
    real, calls = crossvalidation.fit, []

    def stops(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(crossvalidation, "fit", stops)
    with pytest.raises(KeyboardInterrupt):
        polyfuse.fit(table, to=tmp_path / "m", **options)
    with pytest.raises(RecipeError, match="begun with another recipe"):
        polyfuse.fit(table, to=tmp_path / "m", resume=True, seed=5, **options)
    calls.clear()
    calls.extend([1, 1, 1])
    again = polyfuse.fit(table, to=tmp_path / "m", resume=True, **options)
    assert len(calls) == 3 + 2, "two folds were there already"
    assert again.evaluation.folds == whole.evaluation.folds
    assert again.evaluation.to_json()["outputs"] == whole.evaluation.to_json()["outputs"]
    pd.testing.assert_frame_equal(again.predict(table), whole.predict(table))
    assert not list((tmp_path / "m.run").glob("fold_*/judged.*"))


def test_a_fold_that_is_interrupted_says_how_to_go_on(table, tmp_path, monkeypatch, capsys):
    real = crossvalidation.fit

    def interrupted(*args, **kwargs):
        fitted = real(*args, **kwargs)
        return replace(fitted, result=replace(fitted.result, interrupted=True))

    monkeypatch.setattr(crossvalidation, "fit", interrupted)
    table.to_csv(tmp_path / "t.csv", index=False)
    words = ["fit", str(tmp_path / "t.csv"), "--output", "y", "--folds", "2", "--to", str(tmp_path / "m")]
    monkeypatch.setattr(sys, "argv", ["polyfuse", *words, *[f"--set={one}" for one in QUICK]])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
    assert "interrupted in fold 1 of 2 folds; the same command with --resume" in capsys.readouterr().err


def test_the_command_line_shows_mean_and_spread(table, tmp_path):
    table.assign(split=np.where(table.t < 90, "train", "test")).to_csv(tmp_path / "t.csv", index=False)
    arguments = ["fit", str(tmp_path / "t.csv"), "--output", "y", "--folds", "2", "--to", str(tmp_path / "m")]
    done = CliRunner().invoke(app, [*arguments, *[f"--set={one}" for one in QUICK]])
    assert done.exit_code == 0, done.output
    assert "y in 2 folds" in done.stdout
    assert "fold 2" in done.stdout
    assert "column 'split' names splits and is not used" in " ".join(done.stdout.split())


def test_what_cannot_be_is_refused(table):
    options = {"outputs": ["y"], "settings": QUICK, "quiet": True}
    with pytest.raises(RecipeError, match="leave one out"):
        polyfuse.fit(table, folds=3, split="g", **options)
    with pytest.raises(RecipeError, match="would be chosen on rows that judge it"):
        polyfuse.fit(table, folds=3, fusion="auto", **options)
    with pytest.raises(RecipeError, match="not even two folds of groups of 'g'"):
        polyfuse.fit(table.assign(g=1), folds=3, group="g", **options)
    with pytest.raises(RecipeError, match=r"data\.folds"):
        polyfuse.fit(table, folds=1, **options)
    with pytest.raises(RecipeError, match="a comparison judges on one split"):
        polyfuse.compare(table, outputs=["y"], settings=["data.folds=3"])
