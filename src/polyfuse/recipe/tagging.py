"""What heads that answer word by word need of a table: the column of words, and the inputs that read it."""

from __future__ import annotations

from typing import Any

from polyfuse import registry
from polyfuse.contracts import ReadsWords, offers
from polyfuse.data.tables import Table
from polyfuse.data.word_columns import find_words
from polyfuse.recipe import Recipe, RecipeError, parse
from polyfuse.recipe.outputs import word_columns


def reads_words(head: dict[str, Any]) -> bool:
    """Whether a head, as a recipe names it, answers word by word."""
    return head["name"] != "auto" and offers(registry.head(head["name"]), ReadsWords)


def find_head_words(name: str, output: dict[str, Any], table: Table) -> list[str]:
    """Write into a head that answers word by word which column holds the words, and how answers are written.

    Args:
        output: of a recipe, as a dict; changed.

    Raises:
        RecipeError: nothing says which column holds the words.
    """
    head = output["head"]
    if head.get("words") is not None and head.get("form") is not None:
        return []
    named = head.get("words")
    among = None if named is None else [table.require(named).name]
    found = find_words(table.frame, output["column"], among, named=named is not None)
    if found is None:
        raise RecipeError(
            f"output {name!r}: expected a list of tags as long as the list of words in another column"
            f"{f' ({named!r})' if named is not None else ''}, row by row, or spans of characters in one "
            f"[{{start, end, label}}];"
            f" {table.name} has the columns {', '.join(table.frame.columns)}. Name the words with "
            f"outputs.{name}.head.words"
        )
    head.update({"words": found.words, "form": head.get("form") or found.form})
    what = "words" if head["form"] == "tags" else "characters"
    return [f"output {name!r} labels {what} of column {found.words!r}"]


def separate_words(recipe: Recipe, values: dict[str, Any]) -> None:
    """Give a column of words an input of its own, where it would share one with other columns.

    Args:
        values: the recipe as a dict, with columns and modality of every input; changed.
    """
    for column in dict.fromkeys(word_columns(recipe).values()):
        for name, item in list(values["inputs"].items()):
            if column not in item["columns"] or len(item["columns"]) == 1 or name in recipe.inputs:
                continue
            item["columns"] = [other for other in item["columns"] if other != column]
            free = column if column not in values["inputs"] else f"{column}_words"
            values["inputs"][free] = {"columns": [column], "modality": item["modality"]}


def name_inputs(recipe: Recipe) -> Recipe:
    """The recipe with the inputs that read its columns of words named in the heads that answer word by word.

    Raises:
        RecipeError: no input reads them, or one that reads other columns as well.
    """
    values = recipe.model_dump(mode="json")
    for output, column in word_columns(recipe).items():
        readers = [name for name, item in recipe.inputs.items() if column in item.columns]
        shared = [name for name in readers if len(recipe.inputs[name].columns) > 1]
        head = values["outputs"][output]["head"]
        if shared:
            raise RecipeError(
                f"output {output!r} labels words of column {column!r}, and input {shared[0]!r} reads it together with "
                f"others; give it an input of its own: --input words@{column}=text"
            )
        if not readers:
            raise RecipeError(
                f"output {output!r} labels words of column {column!r}, and no input reads them; "
                f"name one: --input words@{column}=text"
            )
        if unread := [name for name in readers if recipe.inputs[name].modality != "text"]:
            raise RecipeError(f"output {output!r} labels words, and input {unread[0]!r} reads them as no text")
        if not head.get("inputs"):
            head["inputs"] = readers
    return parse(values)
