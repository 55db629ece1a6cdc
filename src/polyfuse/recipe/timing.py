"""What heads that answer in time need of a recipe: the inputs that read the recordings they speak of."""

from __future__ import annotations

from polyfuse import registry
from polyfuse.contracts import AnswersInTime, offers
from polyfuse.recipe import Recipe, RecipeError, parse

HEARD = ("audio", "video")


def timed_inputs(recipe: Recipe) -> dict[str, list[str]]:
    """Output -> the inputs whose recordings it speaks of; only outputs that answer in time."""
    named = {name: output.head for name, output in recipe.outputs.items() if not output.head.is_auto}
    made = {name: (registry.head(part.name), part.keywords) for name, part in named.items()}
    return {name: head.timed(**words) for name, (head, words) in made.items() if offers(head, AnswersInTime)}


def timed_columns(recipe: Recipe) -> dict[str, tuple[str, str]]:
    """Output -> the column of the recordings that it speaks of, and its modality, where they are known."""
    found = {}
    for output, names in timed_inputs(recipe).items():
        known = [recipe.inputs[name] for name in names if name in recipe.inputs]
        if known and known[0].columns:
            found[output] = (known[0].columns[0], str(known[0].modality))
    return found


def name_recordings(recipe: Recipe) -> Recipe:
    """The recipe with the inputs that read sounds and videos named in the heads that answer in time.

    Raises:
        RecipeError: no input reads recordings, or one that is named reads something else, or several at once.
    """
    values = recipe.model_dump(mode="json")
    recordings = [name for name, item in recipe.inputs.items() if item.modality in HEARD]
    for output, names in timed_inputs(recipe).items():
        names = names or recordings
        if not names:
            raise RecipeError(
                f"output {output!r} holds events in seconds, and no input is a sound or a video; name one: "
                "--input sound@COLUMN=audio"
            )
        for name in names:
            if name not in recordings:
                known = ", ".join(recordings) or "none"
                raise RecipeError(
                    f"outputs.{output}.head.inputs: {name!r} is no input of sounds or videos (known: {known})"
                )
            columns = recipe.inputs[name].columns
            if len(columns) > 1 or any(recipe.data.slots.get(column, 1) > 1 for column in columns):
                raise RecipeError(
                    f"output {output!r} holds events in seconds, and input {name!r} reads several recordings of a row; "
                    "give each an input of its own, or a row"
                )
        values["outputs"][output]["head"]["inputs"] = names
    return parse(values)
