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
    parse,
    suggest_name,
)
from polyfuse.recipe.settings import apply_settings

__all__ = [
    "EnsembleRecipe",
    "InputRecipe",
    "MemberRecipe",
    "NamedPart",
    "ObjectiveRecipe",
    "Recipe",
    "RecipeError",
    "apply_settings",
    "parse",
    "read_recipe",
    "suggest_name",
]
