"""One input read by several encoders: the recipe's readers, tokens side by side, training, saving and judging."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

import polyfuse
from polyfuse.heads.text.ctc import order_along_time
from polyfuse.heads.text.memory import Memory, grid_code, token_grid
from polyfuse.layers.join import concat_tokens
from polyfuse.recipe import RecipeError, parse
from polyfuse.records import Tokens

QUICK = ["training.epochs=2", "ensemble.members=[]"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    words = np.array(["red", "blue", "round", "flat", "big", "small"])
    texts = [" ".join(rng.choice(words, 4)) for _ in range(60)]
    split = ["train"] * 44 + ["val"] * 8 + ["test"] * 8
    return pd.DataFrame({"says": texts, "kind": ["r" if "red" in t else "n" for t in texts], "split": split})


def fitted(table, tmp_path, encoder, settings=()):
    recipe = parse(
        {
            "inputs": {"says": {"columns": ["says"], "modality": "text", "encoder": encoder}},
            "outputs": {"kind": {"column": "kind"}},
        }
    )
    return polyfuse.fit(
        recipe, table=table, split="split", to=tmp_path / "model", settings=[*QUICK, *settings], quiet=True
    )


def test_readers_are_named_by_input_and_encoder():
    recipe = parse({"inputs": {"a": {"encoder": ["ngrams", "gru", "gru"]}, "b": {"encoder": "mlp"}}})
    assert recipe.reads == {"a": ["a", "a+gru", "a+gru2"], "b": ["b"]}
    assert [reader.part.name for reader in recipe.readers.values()] == ["ngrams", "gru", "gru", "mlp"]


def test_an_encoder_of_several_may_be_trained_in_its_own_way():
    parts = [{"name": "ngrams"}, {"name": "gru", "transfer": "frozen", "learning_rate": 0.5, "width": 8}]
    readers = parse({"inputs": {"a": {"encoder": parts, "learning_rate": 0.1}}}).readers
    assert (readers["a"].transfer, readers["a"].learning_rate) == ("full", 0.1)
    assert (readers["a+gru"].transfer, readers["a+gru"].learning_rate) == ("frozen", 0.5)
    assert readers["a+gru"].part.keywords == {"width": 8}


def test_a_list_of_one_is_that_one():
    assert parse({"inputs": {"a": {"encoder": ["gru"]}}}).inputs["a"].encoder.name == "gru"


def test_each_encoder_has_the_same_say_in_the_mean_of_their_tokens():
    draw = torch.Generator().manual_seed(0)
    many = Tokens(
        torch.randn(3, 5, 4, generator=draw), torch.tensor([[True] * 5, [True, True] + [False] * 3, [False] * 5])
    )
    one = Tokens(torch.randn(3, 1, 4, generator=draw), torch.ones(3, 1, dtype=torch.bool))
    both = concat_tokens([many, one])
    mean = (both.x_BTD * both.mask_BT[..., None]).sum(1) / both.mask_BT.sum(1, keepdim=True)
    means = [many.x_BTD[0].mean(0), many.x_BTD[1, :2].mean(0)]
    torch.testing.assert_close(mean[0], (means[0] + one.x_BTD[0, 0]) / 2)
    torch.testing.assert_close(mean[1], (means[1] + one.x_BTD[1, 0]) / 2)
    torch.testing.assert_close(mean[2], one.x_BTD[2, 0])  # the other says nothing here


@pytest.mark.parametrize("grid", [(2, 3), (2, 2, 3)])
def test_tokens_in_a_plane_keep_their_places_beside_those_of_another_encoder(grid):
    count = math.prod(grid)
    plane = Tokens(torch.randn(2, count, 4), torch.ones(2, count, dtype=torch.bool), grid)
    one = Tokens(torch.randn(2, 1, 4), torch.ones(2, 1, dtype=torch.bool), (1,))
    both = concat_tokens([one, plane])
    assert (both.grid, both.prefix, both.x_BTD.shape[1]) == (grid, 0, count + 1)
    direction = both.x_BTD[:, :count] / plane.x_BTD
    torch.testing.assert_close(direction, direction[:, :1, :1].expand_as(direction))  # longer or shorter, no more
    assert token_grid(both) == grid
    memory = Memory(4)
    moved = memory.placed(both) - memory.norm(both.x_BTD)
    torch.testing.assert_close(moved[:, :count], grid_code(grid, 4, like=moved).expand(2, -1, -1))
    assert not moved[:, count:].any()  # the others have no place
    assert order_along_time(Tokens(both.x_BTD, both.mask_BT, (2, 3))).x_BTD.shape[1] == 3


def test_tokens_in_a_row_keep_their_places_whatever_stands_before_them():
    """And they are the same alone as in a longer batch, whose padding moves what stands behind."""
    codes = []
    for count in (2, 5):
        row = Tokens(torch.randn(1, count, 4), torch.ones(1, count, dtype=torch.bool), (count,))
        other = Tokens(torch.randn(1, 2 * count, 4), torch.ones(1, 2 * count, dtype=torch.bool), (2 * count,))
        whole = Tokens(torch.randn(1, 1, 4), torch.ones(1, 1, dtype=torch.bool))
        both = concat_tokens([whole, row, other])
        assert (both.grid, both.x_BTD.shape[1]) == ((count,), 3 * count + 1)
        memory = Memory(4)
        moved = memory.placed(both) - memory.norm(both.x_BTD)
        assert not moved[:, count:].any()
        assert order_along_time(both).x_BTD.shape[1] == count  # what a text is spelt along is the first in a row
        codes.append(moved[0, :2])
    torch.testing.assert_close(*codes)


@pytest.mark.usefixtures("own_cache")
def test_several_encoders_train_save_and_load(table, tmp_path):
    model = fitted(table, tmp_path, ["ngrams", {"name": "gru", "transfer": "frozen"}])
    network = model.bundle.network
    assert network.readers == ["says", "says+gru"]
    assert network.inputs == ["says"]
    assert network.frozen == {"says+gru"}
    again = polyfuse.load(tmp_path / "model")
    pd.testing.assert_frame_equal(model.predict(table), again.predict(table))
    report = again.robustness(table, severities=(0.5,))
    assert report.inputs["says"].curves["kind"].points[0].value is not None


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (["ngrams", "resnet"], r"inputs\.says\.encoder\.1: .*resnet"),
        (["ngrams", "auto"], "each is named"),
        (["ngrams", {"name": "gru", "widht": 8}], "did you mean 'width'"),
    ],
)
def test_impossible_lists_are_refused_by_name(table, tmp_path, encoder, message):
    with pytest.raises(RecipeError, match=message):
        fitted(table, tmp_path, encoder)


def test_a_setting_reaches_an_encoder_of_a_list(table, tmp_path):
    model = fitted(table, tmp_path, ["ngrams", "gru"], ["inputs.says.encoder.1.width=24"])
    assert model.recipe.readers["says+gru"].part.keywords["width"] == 24


@pytest.mark.usefixtures("own_cache")
def test_what_the_fusion_does_not_see_is_for_the_members(table, tmp_path):
    aside = {"name": "gru", "transfer": "frozen", "fused": False}
    model = fitted(table, tmp_path, ["ngrams", aside], ["ensemble.members=[{name: linear, inputs: [says]}]"])
    network = model.bundle.network
    assert network.fused == {"says": ("says",)}
    assert [tuple(o.readers) for o in network.ensemble.opinions] == [("says", "says+gru")]
    pd.testing.assert_frame_equal(model.predict(table), polyfuse.load(tmp_path / "model").predict(table))


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (["ngrams", {"name": "gru", "fused": False}], "is not trained; set transfer: frozen"),
        ([{"name": "gru", "fused": False, "transfer": "frozen"}], "sees none of its encoders"),
    ],
)
def test_asides_that_cannot_be_are_refused(table, tmp_path, encoder, message):
    with pytest.raises(RecipeError, match=message):
        fitted(table, tmp_path, encoder)
