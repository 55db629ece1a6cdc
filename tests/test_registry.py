"""The tables of parts: every row resolves, and an alias is the same class with some keywords fixed."""

from __future__ import annotations

from functools import partial

import pytest

from polyfuse import registry
from polyfuse.recipe import RecipeError, parse
from polyfuse.recipe.validate import check_recipe, own_keywords


@pytest.mark.parametrize("alias", registry.FUSION_ALIASES)
def test_an_alias_is_its_fusion_with_keywords_fixed(alias):
    target, fixed = registry.FUSION_ALIASES[alias]
    made = registry.fusion(alias)
    assert alias not in registry.FUSIONS
    assert (made.func if isinstance(made, partial) else made) is registry.fusion(target)
    assert not set(own_keywords(made, set())) & set(fixed)
    assert type(made(["a", "b"], 8)) is registry.fusion(target)


def test_aliases_are_listed_with_what_they_stand_for():
    rows = {row.name: row.summary for row in registry.listings("fusions")}
    assert rows.keys() == registry.FUSIONS.keys() | registry.FUSION_ALIASES.keys()
    assert rows["mean"] == "Another name of late, combine: mean."


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        ("mean", None),
        ({"name": "mean", "depth": 0}, None),
        ("attention_shared", None),
        ("maen", "did you mean 'mean'"),
        ({"name": "mean", "combine": "concat"}, "mean has no keyword 'combine'"),
        ({"name": "late", "combin": "mean"}, "did you mean 'combine'"),
    ],
)
def test_recipes_take_aliases_without_their_fixed_keywords(fusion, message):
    recipe = parse({"fusion": fusion, "outputs": {"y": {"column": "y", "head": "number"}}})
    if message is None:
        check_recipe(recipe)
        return
    with pytest.raises(RecipeError, match=message):
        check_recipe(recipe)
