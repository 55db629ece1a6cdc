"""Weights of rows from the front door down: they steer networks, members and metrics, and are no input."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import polyfuse
from polyfuse.cli import app
from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import Outcome
from polyfuse.recipe import RecipeError

ALONE = ["preset=plain", "training.steps=120", "width=16"]
MEMBERS = ["ensemble.networks=1", "training.steps=10", "ensemble.members=[{name: linear, inputs: [columns]}]"]


@pytest.fixture(scope="module")
def disagreeing():
    """Every row stands there twice, with either answer; one of the two weighs a hundredth."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=150)
    one = pd.DataFrame({"a": a, "y": np.where(a > 0, "yes", "no"), "w": 1.0})
    other = one.assign(y=np.where(a > 0, "no", "yes"), w=0.01)
    return pd.concat([one, other]).sample(frac=1, random_state=0).reset_index(drop=True)


@pytest.mark.parametrize("settings", [ALONE, MEMBERS], ids=["network", "members"])
def test_heavy_rows_are_believed(disagreeing, settings):
    made = polyfuse.fit(disagreeing, outputs=["y"], weights="w", settings=settings, quiet=True)
    assert [c for i in made.recipe.inputs.values() for c in i.columns] == ["a"], "weights are no input"
    sure = disagreeing[disagreeing.w == 1]
    assert (made.predict(sure)["y"].to_numpy() == sure.y.to_numpy()).mean() > 0.9
    p = made.predict(sure)[["y_p_no", "y_p_yes"]].to_numpy()
    assert np.median(p.max(1)) > 0.8, "temperatures count rows by weight as well"
    light = made.evaluation.outputs["y"].metrics["accuracy"]
    assert 0.3 < light < 0.7, "metrics count every row the same unless asked"


def test_metrics_count_by_weight_where_asked(disagreeing, tmp_path):
    options = {"outputs": ["y"], "weights": "w", "settings": ALONE, "quiet": True}
    made = polyfuse.fit(disagreeing, weighted_metrics=True, to=tmp_path / "m", **options)
    report = made.evaluation.outputs["y"]
    assert report.metrics["accuracy"] > 0.9
    low, high = report.intervals["accuracy"]
    assert 0.8 < low <= high <= 1
    assert any("by their weights" in note for note in report.notes)
    again = polyfuse.load(tmp_path / "m").evaluate(disagreeing).outputs["y"].metrics["accuracy"]
    assert again > 0.9
    with pytest.raises(ValueError, match="no column 'w'"):
        made.evaluate(disagreeing.drop(columns="w"))
    made.predict(disagreeing.drop(columns=["w", "y"]))  # which needs no weights
    importance = made.evaluate(disagreeing, importance=200).importance[0]["y"]
    assert importance["value"] > 0.9


def test_chunks_learn_what_the_whole_batch_does(disagreeing):
    table = disagreeing.assign(w=disagreeing.w * (np.arange(len(disagreeing)) % 3))  # a third counts for nothing
    still = {"name": "mlp", "dropout": 0.0}  # chunks draw other cells to drop than the whole
    settings = {"preset": "plain", "width": 16, "fusion": {"name": "concat", "dropout": 0.0}}
    settings |= {"inputs": {"a": {"columns": ["a"], "modality": "columns", "encoder": still}}}
    settings |= {"outputs": {"y": {"column": "y", "head": {"name": "category", "dropout": 0.0}}}}
    one, other = (
        polyfuse.fit(
            table,
            weights="w",
            settings={**settings, "training": {"steps": 20, "batch_size": 64, **more}},
            quiet=True,
        )
        for more in ({}, {"chunk": 10})
    )
    np.testing.assert_allclose(one.predict(table)["y_p_yes"], other.predict(table)["y_p_yes"], atol=1e-3)


def test_weights_steer_alignments_without_outputs(disagreeing):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(120, 2)).round(3)
    table = pd.DataFrame({"a": a[:, 0], "b": a[:, 1], "c": a[:, 0], "d": a[:, 1], "w": 1.0})
    wrong = table.assign(c=rng.permutation(table.c), d=rng.permutation(table.d), w=0.0)
    both = pd.concat([table, wrong]).sample(frac=1, random_state=0).reset_index(drop=True)
    options = {"inputs": ["one@a,b=columns", "two@c,d=columns"], "align": "one,two", "weights": "w", "quiet": True}
    made = polyfuse.fit(both, settings=["preset=plain", "training.steps=200", "width=16"], **options)
    assert [c for i in made.recipe.inputs.values() for c in i.columns] == ["a", "b", "c", "d"]
    found = made.evaluate(table).alignment[0]["metrics"]
    assert found["recall@10"] > 0.5, "rows of weight 0 teach nothing"
    with pytest.raises(RecipeError, match="there is no output"):
        polyfuse.fit(both, settings=["preset=plain"], weighted_metrics=True, **options)
    with pytest.raises(RecipeError, match="name an output"):
        polyfuse.fit(both, settings=["preset=plain"], folds=3, **options)


@pytest.mark.parametrize("task", ["category", "ordinal", "labels", "number"])
def test_judges_count_a_row_of_weight_two_twice(task):
    rng = np.random.default_rng(0)
    times, classes = rng.integers(0, 4, 60), ["a", "b", "c"]
    p = rng.dirichlet(np.ones(3), 60)
    target, value = (rng.integers(0, 3, 60) for _ in range(2))
    sides = {
        "number": (target + 1.5, value + 1.0),
        "labels": ([[classes[k]] for k in target], [[classes[k]] for k in value]),
    }.get(task, ([classes[k] for k in target], [classes[k] for k in value]))
    more = (None, None) if task == "number" else (p, classes)

    def found(order, weights=None):
        some = [[side[k] for k in order] for side in sides]
        kept = (None if more[0] is None else more[0][order], more[1])
        return judge(Outcome(task, *some, *kept, weights=weights), bootstrap=0)

    weighed, repeated = found(np.arange(60), times.astype(float)), found(np.repeat(np.arange(60), times))
    assert weighed.metrics == pytest.approx(repeated.metrics, rel=1e-6)
    assert weighed.baseline.metrics == pytest.approx(repeated.baseline.metrics, rel=1e-6)
    for one, other in zip(weighed.per_class, repeated.per_class, strict=True):
        assert one["f1"] == pytest.approx(other["f1"])


@pytest.mark.parametrize(
    ("cell", "message"), [(-1.0, "found '-1.0'"), (np.nan, "there is none")], ids=["negative", "missing"]
)
def test_bad_weights_are_refused_by_column_and_row(disagreeing, cell, message):
    table = disagreeing.copy()
    table.loc[3, "w"] = cell
    with pytest.raises(ValueError, match=rf"weights column 'w', .*row 3: .*{message}"):
        polyfuse.fit(table, outputs=["y"], weights="w", settings=["data.fractions=[1,0,0]", *ALONE], quiet=True)


def test_what_cannot_be_is_refused(disagreeing):
    with pytest.raises(ValueError, match="every weight is 0"):
        polyfuse.fit(disagreeing.assign(w=0), outputs=["y"], weights="w", settings=ALONE, quiet=True)
    with pytest.raises(ValueError, match="'w' says how much rows count, so it cannot be an input"):
        polyfuse.fit(disagreeing, outputs=["y"], inputs=["a", "w"], weights="w", settings=ALONE, quiet=True)
    with pytest.raises(RecipeError, match="no weights; name their column"):
        polyfuse.fit(disagreeing, outputs=["y"], weighted_metrics=True, settings=ALONE, quiet=True)


def test_the_loss_is_weighed_and_the_same_without_weights(disagreeing):
    made = polyfuse.fit(disagreeing, outputs=["y"], settings=["preset=plain", "training.steps=1"], quiet=True)
    network, table = made.bundle.network, polyfuse.data.tables.read_table(disagreeing)
    rows, _ = made._rows(table, targets=True)
    batch = rows[0, np.arange(8)]
    state = network(batch)
    each_B = network.head("y").loss_of(state.scores["y"], batch)
    torch.testing.assert_close(network.losses(state, batch)["out:y"], each_B.mean())
    batch.weights_B = torch.tensor([2.0, 1, 0, 0, 1, 1, 1, 1])
    torch.testing.assert_close(network.losses(state, batch)["out:y"], (each_B * batch.weights_B).sum() / 6)


def test_the_command_line_takes_weights(disagreeing, tmp_path):
    disagreeing.to_csv(tmp_path / "t.csv", index=False)
    arguments = ["fit", str(tmp_path / "t.csv"), "--output", "y", "--weights", "w", "--weighted-metrics", "--json"]
    settings = [f"--set={one}" for one in ALONE]
    done = CliRunner().invoke(app, [*arguments, *settings, "--to", str(tmp_path / "m")])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["outputs"]["y"]["accuracy"] > 0.8
    assert polyfuse.load(tmp_path / "m").recipe.data.weights == "w"
