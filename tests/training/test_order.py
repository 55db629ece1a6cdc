"""Rows ordered in time: in every fit and fold, nothing later trains what judges something earlier."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import polyfuse
from polyfuse.cli import app
from polyfuse.learners.base import Learner
from polyfuse.recipe import RecipeError
from polyfuse.training import train_members


@pytest.fixture(scope="module")
def daily():
    rng = np.random.default_rng(0)
    days = rng.permutation(np.arange(200)) // 2
    a = rng.normal(size=200)
    date = pd.Timestamp("2023-01-01") + pd.to_timedelta(days, unit="D")
    table = pd.DataFrame({"a": a, "day": days, "date": date.strftime("%Y-%m-%d"), "y": a + 0.1 * rng.normal(size=200)})
    return table.assign(row=range(200), again=a)


@pytest.mark.parametrize("test_share", [0.1, 0.0])
@pytest.mark.parametrize("networks", ["auto", "2"])
def test_networks_and_members_are_judged_on_later_rows(daily, monkeypatch, test_share, networks):
    fitted, trained = [], []
    real_path, real_train = Learner.path.__func__, train_members.train

    def path(cls, blocks, target, *args, **kwargs):
        fitted.append(np.asarray(blocks[0]).shape[0])
        return real_path(cls, blocks, target, *args, **kwargs)

    def train(network, recipe, rows, split, **options):
        trained.append(split)
        return real_train(network, recipe, rows, split, **options)

    monkeypatch.setattr(Learner, "path", classmethod(path))
    monkeypatch.setattr(train_members, "train", train)
    settings = [
        "training.steps=10",
        f"ensemble.networks={networks}",
        "ensemble.members=[{name: linear, inputs: [columns]}]",
        f"data.fractions=[{0.9 - test_share}, 0.1, {test_share}]",
    ]
    made = polyfuse.fit(daily, outputs=["y"], inputs=["a"], order="date", settings=settings, quiet=True)
    assert len(trained) == (1 if networks == "auto" else 2)
    day = daily.day.to_numpy()
    for split in trained:
        assert day[split.train].max() < day[split.val].min()
    rows = made.report["training"]["rows"]
    seen = rows["train"] + (rows["val"] if test_share else 0)
    assert sorted(fitted) == fitted, "from fold to fold, then on all"
    assert fitted[0] == pytest.approx(seen / 5, abs=2)
    assert fitted[-1] == seen
    assert len(made.report["ensemble"]["y"]) == 2
    assert any("split by 'date', the oldest train" in note for note in made.notes)


@pytest.mark.parametrize("more", [{}, {"folds": 3}])
def test_an_order_that_can_be_read_in_two_ways_is_refused(daily, more):
    doubtful = daily.assign(date=[f"0{1 + n % 9}/0{1 + n // 2 % 9}/2024" for n in range(200)])
    with pytest.raises(RecipeError, match=r"data\.order: column 'date' .*read in two ways"):
        polyfuse.fit(doubtful, outputs=["y"], inputs=["a"], order="date", settings=["preset=plain"], quiet=True, **more)
    first = daily.assign(date=[f"{13 + n % 15}/0{1 + n // 50}/2024" for n in range(200)])
    settings = ["preset=plain", "training.steps=2"]
    made = polyfuse.fit(first, outputs=["y"], inputs=["a"], order="date", settings=settings, quiet=True)
    assert any("day first" in note for note in made.notes)


def test_the_order_is_no_input_unless_named(daily, tmp_path):
    daily.to_csv(tmp_path / "t.csv", index=False)
    fast = ["--set", "preset=plain", "--set", "training.steps=2"]
    arguments = ["fit", str(tmp_path / "t.csv"), "--output", "y", "--order", "date", "--json", *fast]
    done = CliRunner().invoke(app, [*arguments, "--to", str(tmp_path / "m")])
    assert done.exit_code == 0, done.output
    recipe = polyfuse.load(tmp_path / "m").recipe
    assert "date" not in recipe.inputs["columns"].columns
    assert recipe.data.order == "date"
    named = polyfuse.fit(
        daily,
        outputs=["y"],
        inputs=["a", "date"],
        order="date",
        settings=["preset=plain", "training.steps=2"],
        quiet=True,
    )
    assert named.recipe.inputs["columns"].columns == ["a", "date"]
