"""Query the outputs of a recipe by what their heads can do."""

from __future__ import annotations

from polyfuse import registry
from polyfuse.contracts import ReadsColumns, ReadsEncoder, ReadsPicture, ReadsWords, Scores, Streams, offers
from polyfuse.data.tables import Table, did_you_mean
from polyfuse.recipe import Recipe, RecipeError
from polyfuse.records import Spec


def outputs_without_scores(recipe: Recipe) -> list[str]:
    """Outputs whose head gives no scores per row, which ensembles and late fusion need."""
    named = {name: output.head for name, output in recipe.outputs.items() if not output.head.is_auto}
    return [name for name, part in named.items() if not offers(registry.head(part.name), Scores)]


def text_outputs(recipe: Recipe) -> list[str]:
    """Outputs whose head writes texts."""
    named = {name: output.head for name, output in recipe.outputs.items() if not output.head.is_auto}
    return [name for name, part in named.items() if offers(registry.head(part.name), Streams)]


def inputs_read_directly(recipe: Recipe) -> set[str]:
    """Inputs that a head reads as their encoder gives them, without which it cannot answer."""
    found = set[str | None]()
    for output in recipe.outputs.values():
        made = None if output.head.is_auto else registry.head(output.head.name)
        if offers(made, ReadsEncoder) and (wanted := made.companion(**output.head.keywords)) is not None:
            found.add(wanted.input)
    return {name for name in recipe.inputs if name in found}


def head_columns(recipe: Recipe) -> dict[str, list[str]]:
    """Output -> the columns that its head reads itself, such as those of a prompt; only outputs with some.

    Raises:
        RecipeError: no such head, or it cannot say.
    """
    found = {}
    for name, output in recipe.outputs.items():
        try:
            made = None if output.head.is_auto else registry.head(output.head.name)
            found[name] = made.columns(**output.head.keywords) if offers(made, ReadsColumns) else []
        except ValueError as error:
            raise RecipeError(f"outputs.{name}.head: {error}") from None
    return {name: columns for name, columns in found.items() if columns}


def word_columns(recipe: Recipe) -> dict[str, str]:
    """Output -> the column of words by which its head answers; only outputs with one that is known."""
    named = {name: output.head for name, output in recipe.outputs.items() if not output.head.is_auto}
    able = [name for name, part in named.items() if offers(registry.head(part.name), ReadsWords)]
    return {name: columns[0] for name, columns in head_columns(recipe).items() if name in able}


def picture_columns(recipe: Recipe) -> dict[str, str]:
    """Output -> the column of pictures in whose pixels its head answers; only outputs with one that is known."""
    named = {name: output.head for name, output in recipe.outputs.items() if not output.head.is_auto}
    able = {name: registry.head(part.name) for name, part in named.items()}
    found = {n: made.picture(**named[n].keywords) for n, made in able.items() if offers(made, ReadsPicture)}
    return {name: column for name, column in found.items() if column is not None}


def piecewise_columns(recipe: Recipe) -> dict[str, str]:
    """Output -> the column by whose words, or in whose pixels, its head answers: inputs read the very same column."""
    return word_columns(recipe) | picture_columns(recipe)


def picture_readers(recipe: Recipe) -> dict[str, str]:
    """Output -> the reader of the pictures in whose pixels its head answers."""
    inputs = {name: str(recipe.outputs[name].head.keywords["input"]) for name in picture_columns(recipe)}
    readers = recipe.readers
    return {name: next(r for r in recipe.reads[own] if readers[r].fused) for name, own in inputs.items()}


def own_spec(recipe: Recipe, name: str) -> Spec:
    """The transform by which an output's head reads its own columns."""
    part = recipe.outputs[name].head
    made = registry.head(part.name)
    if offers(made, ReadsPicture):
        return Spec("image.size")
    return made.own(**part.keywords) if offers(made, ReadsWords) else Spec("text.plain")


def check_head_columns(recipe: Recipe, table: Table) -> None:
    """Whether a table has the columns that heads read themselves, none of which may be learnt.

    Raises:
        RecipeError: it lacks one; names those that it has.
    """
    learnt = {output.column: name for name, output in recipe.outputs.items()}
    for name, columns in head_columns(recipe).items():
        for column in columns:
            where = f"output {name!r}: its head ({recipe.outputs[name].head.name}) reads column {column!r}"
            if column not in table.frame:
                known, hint = ", ".join(map(str, table.frame.columns)), did_you_mean(column, table.frame.columns) or "."
                raise RecipeError(f"{where}, which {table.name} does not have{hint} Its columns: {known}")
            if column in learnt:
                raise RecipeError(f"{where}, which is learnt (output {learnt[column]!r}) and not known at prediction")
