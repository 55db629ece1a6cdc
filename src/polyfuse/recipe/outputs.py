"""What the outputs of a recipe can do, by the heads that it names."""

from __future__ import annotations

from polyfuse import registry
from polyfuse.contracts import Scores, offers
from polyfuse.recipe import Recipe


def unscored(recipe: Recipe) -> list[str]:
    """Outputs whose head has no vector of scores per row, so that nothing can be joined by scores."""
    named = {name: output.head for name, output in recipe.outputs.items() if not output.head.is_auto}
    return [name for name, part in named.items() if not offers(registry.head(part.name), Scores)]
