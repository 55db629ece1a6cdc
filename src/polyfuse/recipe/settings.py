"""Apply settings such as ``training.epochs=5``, of the command line or Python, to a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polyfuse.data.names import partition_unquoted, split_unquoted, unquote
from polyfuse.recipe.schema import Recipe, RecipeError, parse


def _item(items: list[Any], place: str, setting: str) -> Any:
    """An item of a list by its number, from 0."""
    if not (place.isdigit() and int(place) < len(items)):
        raise RecipeError(f"--set {setting!r}: expected a number from 0 to {len(items) - 1}, found {place!r}")
    return items[int(place)]


def _join_dotted_names(spot: Any, parts: list[str], values: dict[str, Any]) -> list[str]:
    """The parts of a path with those put together that are one name here, which may have dots."""
    if isinstance(spot, list):
        return parts
    flat = [values["training"]["learning_rates"], *(values["data"][field] for field in BY_COLUMN)]
    if any(spot is one for one in flat):  # name -> word or number: nothing lies deeper
        return [".".join(parts)]
    whole = next((n for n in range(len(parts), 1, -1) if ".".join(parts[:n]) in spot), 1)
    return [".".join(parts[:whole]), *parts[whole:]]


def apply_settings(recipe: Recipe, settings: Sequence[str] | Mapping[str, Any]) -> Recipe:
    """The recipe with settings applied.

    Args:
        settings: ``path.to.field=value``, values in YAML; or path -> value, sections within sections as in a recipe:
            ``{"training": {"epochs": 5}, "fusion.depth": 2}``.

    A name with dots is known where the recipe has it; elsewhere it stands between double quotes or backticks.

    Raises:
        RecipeError: not of that form, or no such field.
    """
    values = recipe.model_dump(mode="json")
    pairs = (
        list(_flat_settings(settings)) if isinstance(settings, Mapping) else [_parse_setting(text) for text in settings]
    )
    for rest, value, setting in pairs:
        spot: Any = values
        while len(rest := _join_dotted_names(spot, rest, values)) > 1:
            parent, *rest = rest
            if isinstance(spot, list):
                spot = _item(spot, parent, setting)
                continue
            if not isinstance(spot.get(parent), (dict, list)):
                spot[parent] = {"name": spot[parent]} if isinstance(spot.get(parent), str) else {}
            spot = spot[parent]
        last: Any = rest[0]
        if isinstance(spot, list):
            _item(spot, last, setting)
            last = int(last)
        spot[last] = value
    named = {".".join(path) for path, _, _ in pairs}
    made, fixed = parse(values, "settings" if isinstance(settings, Mapping) else "--set"), recipe.training.steps
    if "training.epochs" in named and "training.steps" not in named and fixed != "auto":
        raise RecipeError(f"the recipe fixes training.steps={fixed}, which wins: --set training.steps=auto as well")
    return made


def _parse_setting(text: str) -> tuple[list[str], Any, str]:
    """The names on the path to the field, the value and the text of ``FIELD=VALUE``."""
    import yaml

    path, equals, value = partition_unquoted(text, "=")
    if not equals:
        raise RecipeError(f"--set {text!r}: expected FIELD=VALUE, such as training.epochs=5")
    try:
        return _path(path), yaml.safe_load(value), text
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {text!r}: the value is not YAML: {error}") from None


def _path(text: str) -> list[str]:
    return [unquote(part) for part in split_unquoted(text, ".")]


BY_COLUMN = ("modalities", "formats", "slots")


SECTIONS = (("data",), ("data", "limits"), ("training",), ("ensemble",), ("inputs",), ("outputs",))


def _flat_settings(settings: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[list[str], Any, str]]:
    for key, value in settings.items():
        named = prefix in (("inputs",), ("outputs",)) and isinstance(value, Mapping)  # names may have dots
        path = [*prefix, str(key)] if named else [*prefix, *_path(str(key))]
        if isinstance(value, Mapping) and (named or tuple(path) in SECTIONS or _is_named(path)):
            yield from _flat_settings(value, tuple(path))
        else:
            yield path, dict(value) if isinstance(value, Mapping) else value, f"{'.'.join(path)}={value}"


def _is_named(path: list[str]) -> bool:
    """Whether a path leads to an input or output."""
    return len(path) == 2 and path[0] in ("inputs", "outputs")
