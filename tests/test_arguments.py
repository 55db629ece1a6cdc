"""Names and settings in every form in which people give them."""

from __future__ import annotations

import pytest

from polyfuse.data.names import as_name_list
from polyfuse.recipe import Recipe, RecipeError, apply_settings, parse


def test_one_name_several_and_numbers():
    assert as_name_list("label") == ["label"]
    assert as_name_list(["a", "b"]) == ["a", "b"]
    assert as_name_list(3) == ["3"]
    assert as_name_list(()) == []


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({"training.epochs": 5}, ["training.epochs=5"]),
        ({"training": {"epochs": 5, "seed": 2}}, ["training.epochs=5", "training.seed=2"]),
        ({"fusion": "sum", "width": 8}, ["fusion=sum", "width=8"]),
        ({"fusion": {"name": "concat", "depth": 2}}, ["fusion={name: concat, depth: 2}"]),
        ({"inputs": {"image": {"encoder": "vit"}}}, ["inputs.image.encoder=vit"]),
        ({"data": {"limits": {"seconds": 9}}}, ["data.limits.seconds=9"]),
        ({"inputs": {"a.b": {"columns": ["a.b"]}}}, ['inputs."a.b".columns=["a.b"]']),
        ({"data.formats": {"a.b": "comma"}}, ["data.formats.a.b=comma"]),
        ({"outputs.y.head": {"name": "category", "cost": {"a": 2}}}, ["outputs.y.head={name: category, cost: {a: 2}}"]),
    ],
)
def test_a_dict_of_settings_is_what_the_same_settings_are_in_text(given, same):
    start = parse({"outputs": {"y": {"column": "y"}}, "training": {"warmup": 0.5}})
    assert apply_settings(start, given) == apply_settings(start, same)
    assert apply_settings(start, given).training.warmup == 0.5


def test_mistakes_in_a_dict_of_settings_are_named():
    with pytest.raises(RecipeError, match=r"settings: training\.epoch: no such field; did you mean 'epochs'"):
        apply_settings(Recipe(), {"training": {"epoch": 5}})


def test_an_item_of_a_list_is_replaced():
    start = parse({"inputs": {"x": {"encoder": ["ngrams", "gru"]}}})
    assert apply_settings(start, ["inputs.x.encoder.1=transformer"]).inputs["x"].named == "ngrams + transformer"


def test_what_was_found_is_said_once():
    with pytest.raises(RecipeError) as error:
        parse({"training": {"time": "5minutes"}})
    assert str(error.value) == ("recipe: training.time: expected a time such as 90s, 5m or 1h, found '5minutes'")
