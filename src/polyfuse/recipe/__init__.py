"""Recipes: parse, check, complete and save everything that defines a model."""

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
