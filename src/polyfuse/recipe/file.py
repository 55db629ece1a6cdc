"""Read a recipe from a YAML file or a saved model; relative paths start beside the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from polyfuse.recipe.schema import Recipe, RecipeError, parse
from polyfuse.trust import check_trust


def read_recipe(path: str | Path) -> Recipe:
    """The recipe in a YAML file, or of a saved model's folder.

    Raises:
        RecipeError: not a recipe; says which field.
        TrustError: a saved model whose recipe names code of others, which nobody trusts (see ``trust``).
    """
    import yaml

    path = Path(path)
    saved = path.is_dir() or (path.parent / "manifest.json").exists()
    if path.is_dir():
        path = path / "recipe.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf8"))
    except (OSError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: cannot be read as a recipe: {error}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: expected a mapping with inputs and outputs, found {type(values).__name__}")
    recipe, folder = parse(values, str(path)), path.parent.resolve()
    if saved:
        check_trust(recipe.addresses, path.parent)
    recipe.data.table = [str(folder / _expand_path(file)) for file in recipe.data.table]
    if recipe.data.media_root:
        recipe.data.media_root = str(folder / _expand_path(recipe.data.media_root))
    for item in recipe.inputs.values():
        if item.init_from:
            model, mark, name = item.init_from.partition("#")
            item.init_from = _resolve_beside(folder, model) + mark + name
        for encoder in item.encoders:
            if "path" in encoder.keywords:
                encoder.path = _resolve_beside(folder, encoder.keywords["path"])  # type: ignore[attr-defined]
    for output in recipe.outputs.values():
        decoder = output.head.keywords.get("decoder")
        if isinstance(decoder, dict) and "path" in decoder:
            decoder["path"] = _resolve_beside(folder, decoder["path"])
    return recipe


def _expand_path(path: str) -> str:
    return os.path.expanduser(os.path.expandvars(path))


def _resolve_beside(folder: Path, path: Any) -> Any:
    """The folder of that name beside the recipe where there is one; else as it stands, which may be a name of a hub."""
    if not isinstance(path, str):
        return path
    found = folder / _expand_path(path)
    return str(found) if found.is_dir() else path
