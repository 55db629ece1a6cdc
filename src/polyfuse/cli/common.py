"""Shared parts of the commands: common options, and JSON on standard output."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from polyfuse import registry
from polyfuse.data.names import partition_unquoted, split_unquoted, unquote


def complete_from(*names: str) -> Callable[[str], list[str]]:
    """A completion: which of some names begin as the word under the cursor does."""

    def fitting(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return fitting


FUSIONS = complete_from(*registry.FUSIONS, *registry.FUSION_ALIASES, "auto")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Where = Annotated[str | None, typer.Option(help="A pandas query that keeps rows, such as \"split == 'test'\".")]
MediaRoot = Annotated[str | None, typer.Option(help="Folder that paths in cells start from; the table's by default.")]
MaxBroken = Annotated[
    float | None, typer.Option(help="Share of a column's cells that may be unreadable; the recipe's by default.")
]
Bundle = Annotated[str, typer.Argument(metavar="BUNDLE", help="Folder of a saved model.")]
TableArgument = Annotated[
    str, typer.Argument(metavar="TABLE", help="CSV, TSV, JSON Lines, Parquet or Excel file; also as .gz or .zip.")
]

INPUT = (
    "COL, COL=MODALITY or NAME@COL1,COL2[=MODALITY[:ENCODER]]; again for more. All usable columns by default. "
    "A name that holds = @ or , goes between double quotes."
)
Source = Annotated[str, typer.Argument(metavar="TABLE|RECIPE.yaml", help="A table, a recipe or a saved model.")]
Table = Annotated[str | None, typer.Option(help="Table for a recipe, instead of its own.")]
Output = Annotated[
    list[str] | None, typer.Option(help="Column to learn, or COL=HEAD; again for more; quotes as for --input.")
]
Input = Annotated[list[str] | None, typer.Option(help=INPUT)]
Split = Annotated[str | None, typer.Option(help="Column with the values train, val, test.")]
Group = Annotated[str | None, typer.Option(help="Column whose values stay on one side of a made split.")]
Order = Annotated[str | None, typer.Option(help="Column of dates or numbers: the oldest rows train, the latest test.")]
Folds = Annotated[int | None, typer.Option(help="Judge every row once, in so many folds, instead of a split.")]
Weights = Annotated[str | None, typer.Option(help="Column of numbers: how much each row counts in training.")]
WeightedMetrics = Annotated[bool, typer.Option("--weighted-metrics", help="Rows count by weight in metrics as well.")]
Trust = Annotated[
    list[str] | None, typer.Option(help="A package or module whose code a saved model may run; again for more.")
]
Device = Annotated[
    str,
    typer.Option(
        help="Where networks compute: auto (a GPU if there is one), cpu, cuda or mps.",
        autocompletion=complete_from("auto", "cpu", "cuda", "mps"),
    ),
]
Set = Annotated[list[str] | None, typer.Option(help="FIELD=VALUE of the recipe, such as training.epochs=5.")]
Cost = Annotated[
    list[str] | None, typer.Option(help="[OUTPUT:]CLASS=COST of missing a class, where others cost 1; again for more.")
]
Threshold = Annotated[
    list[str] | None,
    typer.Option(help="[OUTPUT:]CLASS=PROBABILITY from which a class is the answer; again for more."),
]
Writing = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="How texts, pictures and sounds are made, over the recipe's way: decode.beams=4, decode.guidance=2, or "
        "outputs.NAME.head.decode.beams=4.",
        metavar="decode.OPTION=VALUE",
    ),
]
Writer = Annotated[str | None, typer.Option("--output", help="Which output, where several write texts.")]
PIPE = 160  # columns of what no terminal shows


def program_name() -> str:
    """The name of this program, or its path when the shell does not know the name."""
    return "polyfuse" if shutil.which("polyfuse") else os.path.relpath(sys.argv[0])


def parse_by_output(settings: list[str] | None, option: str) -> dict[str, Any] | None:
    """``[OUTPUT:]CLASS=NUMBER`` -> class -> number, or output -> class -> number; None where nothing is given.

    Raises:
        ValueError: not of this form, or an output is named in some and not in others.
    """
    if not settings:
        return None
    found: dict[str, Any] = {}
    for text in settings:
        what, equals, value = text.rpartition("=")
        output, colon, name = what.partition(":")
        try:
            number = float(value)
        except ValueError:
            equals = ""
        if not (equals and what and (name or not colon)):
            raise ValueError(f"{option} {text}: expected [OUTPUT:]CLASS=NUMBER, such as fraud=10")
        if colon:
            found.setdefault(output, {})[name] = number
        else:
            found[what] = number
    if len({isinstance(own, dict) for own in found.values()}) > 1:
        raise ValueError(f"{option}: name the output in all of them, OUTPUT:CLASS=NUMBER, or in none")
    return found


def print_json(document: Any) -> None:
    """One document on standard output, valid JSON (no NaN), in escapes where the output cannot hold its characters."""
    text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=1, allow_nan=False)
    sys.stdout.write(text + "\n")


def replace_unencodable(*streams: Any) -> None:
    """Make these streams replace characters that they cannot encode."""
    for stream in streams:
        if getattr(stream, "errors", None) in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def show(result: Any) -> None:
    """Print a result on standard output; a file or a pipe, which has no width of its own, gets wide tables."""
    from rich.console import Console

    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    Console(width=None if known else PIPE).print(result)


def print_notes(*lines: str) -> None:
    """Print lines on standard error, so that standard output holds the result alone."""
    for line in lines:
        print(line, file=sys.stderr)


def parse_options(settings: list[str] | None) -> dict[str, Any]:
    """``OPTION=VALUE`` -> option -> value.

    Raises:
        ValueError: not of this form.
    """
    import yaml

    found: dict[str, Any] = {}
    for text in settings or ():
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise ValueError(f"--set {text}: expected OPTION=VALUE")
        found[name] = yaml.safe_load(value)
    return found


def parse_decode_options(settings: list[str] | None) -> dict[str, Any] | None:
    """``decode.OPTION=VALUE`` or ``outputs.NAME.head.decode.OPTION=VALUE`` -> how texts and media are to be made.

    Returns:
        Option -> value for all outputs, or output -> option -> value; None where nothing is given.

    Raises:
        ValueError: not of this form, or an output is named in some and not in others.
    """
    import yaml

    found: dict[str, Any] = {}
    for text in settings or ():
        path, equals, value = partition_unquoted(text, "=")
        names = [unquote(part) for part in split_unquoted(path, ".")]
        match names if equals else []:
            case ["decode", option]:
                found[option] = yaml.safe_load(value)
            case ["outputs", output, "head", "decode", option]:
                found.setdefault(output, {})[option] = yaml.safe_load(value)
            case _:
                raise ValueError(
                    f"--set {text}: a trained model changes how its answers are made alone: decode.OPTION=VALUE, such "
                    "as decode.beams=4, or outputs.NAME.head.decode.OPTION=VALUE"
                )
    if len({isinstance(own, dict) for own in found.values()}) > 1:
        raise ValueError("--set: name the output in all options of decode, or in none")
    return found or None
