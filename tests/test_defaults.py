"""What a recipe leaves open follows the rows and the inputs, and never overrides what it says."""

from __future__ import annotations

import pytest

from polyfuse.recipe import defaults, parse


def completed(rows: int, inputs: dict[str, dict], **more):
    recipe = parse({"inputs": inputs, "outputs": {"y": {"column": "y", "head": "category"}}, "preset": "plain", **more})
    return defaults.fill_sizes(defaults.fill_encoders(recipe, rows)[0], rows, 0)


def inputs(*modalities: str, **text) -> dict[str, dict]:
    made = {name: {"columns": name, "modality": name} for name in modalities}
    return {**made, "text": {**made["text"], **text}} if text else made


@pytest.mark.parametrize("rows", [50, 4999])
def test_few_rows_pool_and_hide_words(rows):
    recipe = completed(rows, inputs("image", "text"))
    assert recipe.fusion.name == "concat"
    assert recipe.inputs["text"].augment == "default"
    assert "scale" not in recipe.inputs["text"].encoder.keywords


@pytest.mark.parametrize(("rows", "smaller"), [(499, True), (500, False)])
def test_few_rows_see_pictures_small(rows, smaller):
    given = {**inputs("image"), "own": {"columns": "b", "modality": "image", "encoder": {"name": "resnet", "width": 8}}}
    given |= {"other": {"columns": "c", "modality": "image", "encoder": "vit"}}
    found = {name: item.encoder.keywords for name, item in completed(rows, given).inputs.items()}
    assert found["image"] == (defaults.SMALL_PICTURES if smaller else {})
    assert found["own"]["width"] == 8
    assert found["other"] == {}


@pytest.mark.parametrize(
    ("rows", "modalities", "more", "expected"),
    [
        (500, ["image", "columns"], {}, ["unimodal"]),
        (499, ["image", "columns"], {}, []),
        (4999, ["audio", "text"], {"fusion": "gated"}, ["unimodal"]),
        (5000, ["image", "text"], {}, []),
        (900, ["image"], {}, []),
        (900, ["vector", "sequence"], {}, []),
        (900, ["image", "text"], {"fusion": "decision"}, []),
        (900, ["image", "text"], {"objectives": []}, []),
        (900, ["image", "text"], {"objectives": [{"name": "distill"}]}, ["distill"]),
    ],
)
def test_inputs_answer_alone_as_well_over_some_thousand_rows(rows, modalities, more, expected):
    assert [o.name for o in completed(rows, inputs(*modalities), **more).extra_losses] == expected


def test_frozen_inputs_need_no_losses_of_their_own():
    frozen = {n: {**item, "transfer": "frozen"} for n, item in inputs("image", "audio").items()}
    assert completed(900, frozen).objectives == []


@pytest.mark.parametrize(
    ("modalities", "fusion"),
    [
        (["image", "text"], "film"),
        (["text", "audio"], "film"),
        (["image", "text", "audio"], "attention"),
        (["image", "columns"], "attention"),
        (["vector", "columns"], "concat"),
        (["text"], "concat"),
    ],
)
def test_many_rows_fuse_tokens(modalities, fusion):
    assert completed(5000, inputs(*modalities)).fusion.name == fusion


def test_many_rows_keep_words_and_let_them_speak_up():
    text = completed(5000, inputs("image", "text")).inputs["text"]
    assert text.augment == "none"
    assert text.encoder.keywords["scale"] == defaults.LOUD


@pytest.mark.parametrize(
    ("rows", "modalities", "steps"),
    [
        (4999, ["image", "text"], 1000),
        (5000, ["image", "text"], 2000),
        (5000, ["image", "audio"], 1000),
        (5000, ["text", "columns"], 1500),
    ],
)
def test_words_and_what_they_ask_about_train_for_longer(rows, modalities, steps):
    training = completed(rows, inputs(*modalities)).training
    assert training.epochs == round(steps / -(-rows // training.batch_size))


def test_what_the_recipe_says_stays():
    said = {"augment": [{"name": "mask"}], "encoder": {"name": "ngrams", "scale": 0.5}}
    recipe = completed(5000, inputs("image", "text", **said), fusion={"name": "gated"})
    assert recipe.fusion.name == "gated"
    assert recipe.inputs["text"].encoder.keywords["scale"] == 0.5
    assert recipe.inputs["text"].augment[0]["name"] == "mask"
    other = completed(5000, inputs("image", "text", encoder={"name": "gru"}))
    assert "scale" not in other.inputs["text"].encoder.keywords
