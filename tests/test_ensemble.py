"""Members beside the network: features by row, who answers where inputs are missing, weights, and what is saved."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import polyfuse
from polyfuse.heads.category import Category
from polyfuse.layers.features import Bag
from polyfuse.model.ensemble import Ensemble, LearnerMember, MemberInputs, _by_row
from polyfuse.recipe import RecipeError

QUICK = ["training.steps=20"]


class Says(nn.Module):
    """A learner that always says the same."""

    def __init__(self, logits):
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, blocks):
        return self.logits.expand(len(blocks[0]), -1)


def head() -> Category:
    return Category(name="kind", width=4, classes=["a", "b"], counts=[1, 1])


def decided(weights, present, own=(0.0, 0.0)):
    opinions = [LearnerMember(Says([5.0, 0.0]), "kind", ["x"]), LearnerMember(Says([0.0, 5.0]), "kind", ["y"])]
    made = Ensemble([], opinions, ["kind"], {"kind": 1.0}, {"kind": weights})
    rows = len(present["x"])
    heard = MemberInputs({n: torch.zeros(rows, 1) for n in "xy"}, {n: torch.tensor(p) for n, p in present.items()}, [])
    return made.decide("kind", torch.tensor([own] * rows), head(), heard, None).softmax(1)


def test_only_members_whose_input_is_there_have_a_say():
    found = decided([0.0, 0.5, 0.5], {"x": [True, True, False], "y": [True, False, True]})
    torch.testing.assert_close(found[0], torch.tensor([0.5, 0.5]))
    assert found[1, 0] > 0.99
    assert found[2, 1] > 0.99


def test_where_no_member_with_a_say_is_there_the_network_answers():
    found = decided([0.0, 0.5, 0.5], {"x": [False], "y": [False]}, own=(3.0, 0.0))
    torch.testing.assert_close(found, torch.tensor([[3.0, 0.0]]).softmax(1))


def test_probabilities_are_averaged_by_weight():
    found = decided([0.2, 0.8, 0.0], {"x": [True], "y": [True]}, own=(0.0, 2.0))
    wanted = 0.2 * torch.tensor([0.0, 2.0]).softmax(0) + 0.8 * torch.tensor([5.0, 0.0]).softmax(0)
    torch.testing.assert_close(found[0], wanted, atol=1e-5, rtol=1e-5)


def test_features_of_distinct_cells_become_those_of_rows_slot_by_slot():
    index = torch.tensor([[1, 0], [-1, 1]])
    dense = _by_row(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), index)
    assert dense.tolist() == [[3, 4, 1, 2], [0, 0, 3, 4]]
    bag = _by_row(Bag(torch.tensor([[0, 2], [1, 0]]), torch.tensor([[1.0, 2.0], [3.0, 0.0]]), 3), index)
    assert bag.size == 6
    full = torch.zeros(2, 6).scatter_add_(1, bag.ids_BK, bag.weights_BK)
    assert full.tolist() == [[0, 3, 0, 1, 0, 2], [0, 0, 0, 0, 3, 0]]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 3))
    colour = rng.choice(["red", "blue"], 160)
    y = 2 * x[:, 0] - x[:, 1] + (colour == "red") + 0.1 * rng.normal(size=160)
    split = np.repeat(["train", "val", "test"], [90, 35, 35])
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "colour": colour, "y": y, "split": split})


@pytest.fixture(scope="module")
def model(table, tmp_path_factory):
    place = tmp_path_factory.mktemp("ensemble") / "model"
    return polyfuse.fit(table, outputs=["y"], split="split", to=place, settings=QUICK, quiet=True), place


def test_members_join_and_are_said(model):
    made, _ = model
    assert made.bundle.network.ensemble is not None
    assert any("weighed out of fold" in note for note in made.notes)
    shares = [fact["weight"] for fact in made.report["ensemble"]["y"]]
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert made.recipe.ensemble.members, "what answers is written into the recipe"


def test_a_line_is_found_although_the_network_hardly_learnt(model, table):
    made, _ = model
    found = made.predict(table[table.split == "test"])["y"]
    assert np.corrcoef(found, table.y[table.split == "test"])[0, 1] > 0.97


def test_saved_and_loaded_it_says_the_same(model, table):
    made, place = model
    pd.testing.assert_frame_equal(made.predict(table), polyfuse.load(place).predict(table))


def test_the_saved_recipe_gives_the_same_model(model, table):
    made, place = model
    again = polyfuse.fit(str(place), table=table, quiet=True)
    np.testing.assert_allclose(again.predict(table)["y"], made.predict(table)["y"], rtol=1e-4, atol=1e-4)


def test_an_input_that_is_missing_at_prediction_is_no_error(model, table):
    made, _ = model
    blank = table.assign(a=np.nan, b=np.nan, c=np.nan, colour=None)
    assert np.isfinite(made.predict(blank)["y"]).all()


def test_members_none_leaves_the_network_alone(table):
    made = polyfuse.fit(table, outputs=["y"], split="split", settings=[*QUICK, "ensemble.members=[]"], quiet=True)
    assert made.bundle.network.ensemble is None


def test_a_named_fusion_answers_alone(table):
    made = polyfuse.fit(table, outputs=["y"], split="split", fusion="sum", settings=QUICK, quiet=True)
    assert made.bundle.network.ensemble is None


def test_named_members_are_the_only_ones(table):
    members = "ensemble.members=[{name: linear, inputs: [columns]}]"
    made = polyfuse.fit(
        table, outputs=["y"], split="split", settings=[*QUICK, members, "ensemble.networks=1"], quiet=True
    )
    assert [m.name for m in made.recipe.ensemble.members or []] == ["linear"]
    assert made.recipe.ensemble.networks == 1


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ("[{name: linera, inputs: [columns]}]", "did you mean 'linear'"),
        ("[{name: linear, inputs: [text]}]", "text"),
        ("[{name: linear, inputs: [columns], output: z}]", "z"),
    ],
)
def test_impossible_members_are_refused_before_training(table, members, message):
    with pytest.raises(RecipeError, match=message):
        polyfuse.fit(table, outputs=["y"], split="split", settings=[f"ensemble.members={members}"], quiet=True)


@pytest.mark.parametrize("rows", [2, 3, 8])
def test_fewer_rows_than_folds(table, rows):
    few = pd.concat([table[table.split == "train"][:rows], table[table.split == "test"]])
    made = polyfuse.fit(few, outputs=["y"], split="split", settings=QUICK, quiet=True)
    assert np.isfinite(made.predict(table)["y"]).all()


def test_one_group_alone_leaves_the_network_alone(table):
    made = polyfuse.fit(table.assign(who="one"), outputs=["y"], group="who", split="split", settings=QUICK, quiet=True)
    assert made.bundle.network.ensemble is None
    assert any("fold" in note for note in made.notes)


def test_a_class_seen_once_breaks_nothing(table):
    kinds = np.where(table.y > 0, "high", "low").astype(object)
    kinds[0] = "only"
    made = polyfuse.fit(
        table.assign(kind=kinds).drop(columns="y"), outputs=["kind"], split="split", settings=QUICK, quiet=True
    )
    assert set(made.predict(table)["kind"]) <= {"high", "low", "only"}


def test_skewed_counts_are_brought_to_their_mean(table):
    rng = np.random.default_rng(1)
    rate = np.exp(table.a + 0.5 * table.b)
    counts = rng.poisson(rate * rng.gamma(0.5, 2.0, len(table)))
    made = polyfuse.fit(
        table.drop(columns="y").assign(n=counts), outputs=["n=number"], split="split", settings=QUICK, quiet=True
    )
    head = made.bundle.network.head("n")
    assert head.log != "none"
    said, true = np.array(made.predict(table)["n"]), counts
    assert abs(said.mean() - true.mean()) < 0.35 * true.mean(), "a median of skewed counts lies far below their mean"


def test_two_rounds_of_folds_make_twice_as_many_networks(table, tmp_path):
    settings = ["training.steps=4", "ensemble.folds=2", "ensemble.networks=4", "ensemble.members=[]"]
    made = polyfuse.fit(table, outputs=["y"], split="split", settings=settings, to=tmp_path / "m", quiet=True)
    assert len(made.bundle.network.ensemble.networks) == 3
    pd.testing.assert_frame_equal(made.predict(table), polyfuse.load(tmp_path / "m").predict(table))


def test_a_run_of_several_networks_goes_on_with_the_one_that_was_stopped(table, tmp_path, monkeypatch):
    from polyfuse.training import train_members

    settings = ["training.steps=6", "ensemble.folds=3", "ensemble.networks=3", "ensemble.members=[]"]
    options = {"outputs": ["y"], "split": "split", "settings": settings, "quiet": True}
    whole = polyfuse.fit(table, **options).predict(table)
    real, calls = train_members.train, []

    def stops(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("stopped")
        return real(*args, **kwargs)

    monkeypatch.setattr(train_members, "train", stops)
    with pytest.raises(RuntimeError):
        polyfuse.fit(table, to=tmp_path / "m", **options)
    again = polyfuse.fit(table, to=tmp_path / "m", resume=True, **options)
    assert len(calls) == 4, "the first network was there already"
    np.testing.assert_allclose(again.predict(table)["y"], whole["y"], rtol=1e-5)
    assert not list((tmp_path / "m.run").glob("network_*"))


def test_a_budget_too_short_for_folds_falls_back_and_says_so(table):
    made = polyfuse.fit(table, outputs=["y"], split="split", time=0.05, quiet=True)
    assert any("too short to try every member" in note for note in made.notes)
    assert np.isfinite(made.predict(table)["y"]).all()


def test_without_test_rows_the_validation_rows_stay_out_of_all(table):
    from polyfuse.training import train_members

    seen = []
    real = train_members.train

    def watched(network, recipe, rows, split, **options):
        seen.append(np.concatenate([split.train, split.val]))
        return real(network, recipe, rows, split, **options)

    noise = table.assign(y=np.random.default_rng(2).normal(size=len(table)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_members, "train", watched)
        settings = [*QUICK, "data.fractions=[0.7,0.3,0]"]
        made = polyfuse.fit(noise.drop(columns="split"), outputs=["y"], settings=settings, quiet=True)
    counts = made.report["training"]["rows"]
    assert len(np.unique(np.concatenate(seen))) == counts["train"]
    assert made.fit_report.rows == counts["val"]
    assert made.fit_report.outputs["y"].metrics["r2"] < 0.25, "noise that was learnt by heart would read as skill"
    assert any("nothing was trained" in note for note in made.fit_report.meta["notes"])


@pytest.mark.slow
def test_noise_and_missing_inputs_reach_every_member(table, tmp_path):
    words = np.where(table.y > table.y.median(), "much high", "little low")
    words = [f"row {n} is {word} today" for n, word in enumerate(words)]
    two = table.assign(says=words, kind=np.where(table.y > table.y.median(), "up", "down")).drop(columns="y")
    made = polyfuse.fit(two, outputs=["kind"], split="split", settings=QUICK, quiet=True)
    assert made.bundle.network.ensemble is not None
    test = two[two.split == "test"].reset_index(drop=True)
    report = made.evaluate(test)
    found = {tuple(row["inputs"]): row["kind"]["accuracy"] for row in report.missing_modality}
    assert found["text",] == 1.0, "the words say it all"
    assert found["columns",] < 1.0, "nobody may still hear the words"
    curve = made.robustness(test, severities=(1.0,), inputs=["text"]).inputs["text"].curves["kind"]
    assert curve.points[0].value == report.outputs["kind"].metrics["accuracy"]
    assert curve.points[-1].value < 1.0, "noise in the words must reach the learners as well"


def test_a_network_that_no_member_helps_keeps_the_temperature_of_its_training(table, monkeypatch):
    from polyfuse.training import ensemble

    monkeypatch.setattr(ensemble, "weigh_members", lambda heard, *_: [setattr(heard[0], "weight", 1.0) or heard[0]])
    wide = pd.concat([table] * 3, ignore_index=True)
    wide["kind"] = np.where(wide.y + np.random.default_rng(0).normal(size=len(wide)) > 0, "up", "down")
    settings = [*QUICK, "ensemble.networks=1"]
    made = polyfuse.fit(wide.drop(columns="y"), outputs=["kind"], split="split", settings=settings, quiet=True)
    kept = polyfuse.fit(
        wide.drop(columns="y"), outputs=["kind"], split="split", settings=[*settings, "ensemble.members=[]"], quiet=True
    )
    assert made.bundle.network.ensemble is None
    assert float(made.bundle.network.head("kind").temperature) == float(kept.bundle.network.head("kind").temperature)
