"""The recipe: everything that decides a model, from what was asked to every field filled in."""

from polyfuse.recipe.file import read_recipe
from polyfuse.recipe.schema import (
    EnsembleRecipe,
    InputRecipe,
    MemberRecipe,
    NamedPart,
    ObjectiveRecipe,
    Recipe,
    RecipeError,
    near,
    parse,
)
from polyfuse.recipe.settings import override

__all__ = [
    "EnsembleRecipe",
    "InputRecipe",
    "MemberRecipe",
    "NamedPart",
    "ObjectiveRecipe",
    "Recipe",
    "RecipeError",
    "near",
    "override",
    "parse",
    "read_recipe",
]
