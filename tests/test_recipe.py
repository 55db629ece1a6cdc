"""The recipe: shorthand, checks with suggestions, overrides, and a round trip through YAML."""

from __future__ import annotations

import pytest

from polyfuse.recipe import Recipe, RecipeError, apply_settings, parse, read_recipe
from polyfuse.recipe.validate import check_recipe

BASE = {
    "inputs": {"photo": {"columns": "file", "modality": "image", "encoder": {"name": "resnet", "depth": 2}}},
    "fusion": "concat",
    "outputs": {"price": {"column": "price", "head": "number"}},
}


def test_shorthand_and_yaml_round_trip(tmp_path):
    recipe = parse(BASE | {"training": {"time": "5m"}})
    assert recipe.fusion.name == "concat"
    assert recipe.inputs["photo"].columns == ["file"]
    assert recipe.inputs["photo"].encoder.keywords == {"depth": 2}
    assert recipe.training.time == 300
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf8")
    assert read_recipe(tmp_path) == read_recipe(tmp_path / "recipe.yaml") == recipe


def test_objectives_are_named_listed_or_left_to_the_table():
    assert parse(BASE).objectives is parse(BASE | {"objectives": "auto"}).objectives is None
    assert parse(BASE | {"objectives": []}).objectives == []
    for given in ("distill", ["distill"], [{"name": "distill"}]):
        assert [o.name for o in parse(BASE | {"objectives": given}).extra_losses] == ["distill"]
    assert apply_settings(parse(BASE), ["objectives=[unimodal]"]).extra_losses[0].name == "unimodal"


def test_a_table_is_found_from_the_folder_of_its_recipe(tmp_path):
    (tmp_path / "r.yaml").write_text("data: {table: t.csv}", encoding="utf8")
    assert read_recipe(tmp_path / "r.yaml").data.table == [str(tmp_path / "t.csv")]


def test_folders_beside_a_recipe_are_found_and_names_stay_names(tmp_path, monkeypatch):
    (tmp_path / "MiniLM").mkdir()
    (tmp_path / "older").mkdir()
    monkeypatch.setenv("MODELS", str(tmp_path))
    (tmp_path / "r.yaml").write_text(
        """
        data: {table: $MODELS/t.csv, media_root: ./photos}
        inputs:
          a: {columns: a, encoder: {name: pretrained, path: ./MiniLM}}
          b: {columns: b, encoder: {name: pretrained, path: sentence-transformers/all-MiniLM-L6-v2}}
          c: {columns: c, init_from: older#text}
          d: {columns: d, init_from: $MODELS/older#text}
        """,
        encoding="utf8",
    )
    recipe = read_recipe(tmp_path / "r.yaml")
    assert recipe.data.table == [str(tmp_path / "t.csv")]
    assert recipe.data.media_root == str(tmp_path / "photos")
    assert recipe.inputs["a"].encoder.path == str(tmp_path / "MiniLM")
    assert recipe.inputs["b"].encoder.path == "sentence-transformers/all-MiniLM-L6-v2"
    assert recipe.inputs["c"].init_from == recipe.inputs["d"].init_from == f"{tmp_path / 'older'}#text"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trainin": {}}, "did you mean 'training'"),
        ({"training": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"inputs": {"a": {"columns": "x", "encodr": "vit"}}}, "did you mean 'encoder'"),
        ({"training": {"time": "soon"}}, "expected a time such as 90s"),
        ({"training": {"precision": "16"}}, "training.precision"),
        ({"data": {"max_broken": 2}}, "data.max_broken"),
        ({"training": {"batch_size": 0}}, "training.batch_size.*greater than or equal to 1"),
        ({"training": {"steps": -5}}, "training.steps"),
        ({"training": {"epochs": -1}}, "training.epochs.*greater than or equal to 0"),
        ({"training": {"learning_rate": -1}}, "training.learning_rate"),
        ({"training": {"time": 0}}, "training.time"),
        ({"training": {"seed": -1}}, "training.seed"),
        ({"width": -1}, "width"),
        ({"objectives": 3}, "^recipe: objectives: Input should be a valid list"),
        ({"objectives": [{"nam": "distill"}]}, r"objectives\.0\.name: Field required"),
    ],
)
def test_mistakes_are_named_with_the_way_out(values, message):
    with pytest.raises(RecipeError, match=message):
        parse(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("fusion=concatt", "did you mean 'concat'"),
        ("fusion.dept=2", "concat has no keyword 'dept'; did you mean 'depth'"),
        ("inputs.photo.encoder.name=resnett", "inputs.photo.encoder: .*did you mean 'resnet'"),
        ("inputs.photo.encoder.detph=3", "did you mean 'depth'"),
        ("inputs.photo.modality=picture", "unknown modality"),
        ("outputs.price.head=numbr", "did you mean 'number'"),
        ("outputs.price.head.lss=l1", "number has no keyword 'lss'"),
        ("outputs={}", "nothing to learn"),
        ("objectives=[{name: magic}]", "unknown objective 'magic'"),
    ],
)
def test_parts_and_keywords_are_checked_before_anything_is_built(change, message):
    check_recipe(parse(BASE))
    with pytest.raises(RecipeError, match=message):
        check_recipe(apply_settings(parse(BASE), [change]))


def test_override_reaches_every_depth():
    changed = apply_settings(parse(BASE), ["training.epochs=5", "inputs.photo.encoder.depth=4", "fusion.depth=0"])
    assert changed.training.epochs == 5
    assert changed.inputs["photo"].encoder.keywords["depth"] == 4
    assert changed.fusion.keywords == {"depth": 0}
    with pytest.raises(RecipeError, match="FIELD=VALUE"):
        apply_settings(parse(BASE), ["training.epochs"])


def test_fixed_steps_do_not_silently_win_over_epochs():
    fixed = parse(BASE | {"training": {"steps": 100}})
    with pytest.raises(RecipeError, match=r"training\.steps=auto"):
        apply_settings(fixed, ["training.epochs=5"])
    assert apply_settings(fixed, ["training.epochs=5", "training.steps=auto"]).training.epochs == 5


@pytest.mark.parametrize("setting", ["data.where=[a", "training=5", "training.epochs", "training.epochs=[1,"])
def test_settings_that_cannot_be_read_are_errors_of_the_recipe(setting):
    with pytest.raises(RecipeError, match="--set"):
        apply_settings(parse(BASE), ["training.epochs=2", setting])


def test_files_that_are_no_recipes(tmp_path):
    (tmp_path / "a.yaml").write_text("- 1", encoding="utf8")
    (tmp_path / "b.yaml").write_text("a: [", encoding="utf8")
    for name in ("a.yaml", "b.yaml", "absent.yaml"):
        with pytest.raises(RecipeError, match=name):
            read_recipe(tmp_path / name)


def test_every_field_has_its_documentation():
    """What stands in the recipe stands in the docstring of its section."""
    for section in (
        Recipe,
        *(f.annotation for f in Recipe.model_fields.values() if hasattr(f.annotation, "model_fields")),
    ):
        documented = section.__doc__ or ""
        for name, field in section.model_fields.items():
            known = hasattr(field.annotation, "model_fields") or f"{name}:" in documented or f"``{name}``" in documented
            assert known or section is Recipe, f"{section.__name__}.{name}"
