"""What the verbs share: options with one meaning everywhere, and one JSON document on standard output."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Where = Annotated[str | None, typer.Option(help="A pandas query that keeps rows, such as \"split == 'test'\".")]
MediaRoot = Annotated[str | None, typer.Option(help="Folder that paths in cells start from; the table's by default.")]
Bundle = Annotated[str, typer.Argument(metavar="BUNDLE", help="Folder of a saved model.")]
TableArgument = Annotated[str, typer.Argument(metavar="TABLE", help="CSV, TSV, JSON Lines or Parquet file.")]

INPUT = "COL, COL=MODALITY or NAME@COL1,COL2[=MODALITY[:ENCODER]]; again for more. All usable columns by default."
Source = Annotated[str, typer.Argument(metavar="TABLE|RECIPE.yaml", help="A table, a recipe or a saved model.")]
Table = Annotated[str | None, typer.Option(help="Table for a recipe, instead of its own.")]
Output = Annotated[list[str] | None, typer.Option(help="Column to learn, or COL=HEAD; again for more.")]
Input = Annotated[list[str] | None, typer.Option(help=INPUT)]
Split = Annotated[str | None, typer.Option(help="Column with the values train, val, test.")]
Group = Annotated[str | None, typer.Option(help="Column whose values stay on one side of a made split.")]
Order = Annotated[str | None, typer.Option(help="Column of dates or numbers: the oldest rows train, the latest test.")]
Folds = Annotated[int | None, typer.Option(help="Judge every row once, in so many folds, instead of a split.")]
Weights = Annotated[str | None, typer.Option(help="Column of numbers: how much each row counts in training.")]
WeightedMetrics = Annotated[bool, typer.Option("--weighted-metrics", help="Rows count by weight in metrics as well.")]
Set = Annotated[list[str] | None, typer.Option(help="FIELD=VALUE of the recipe, such as training.epochs=5.")]
PIPE = 160  # columns of what no terminal shows


def command() -> str:
    """How to call this program again: its name, or where it lies when the shell does not know the name."""
    return "polyfuse" if shutil.which("polyfuse") else os.path.relpath(sys.argv[0])


def print_json(document: Any) -> None:
    """One document on standard output, valid JSON (no NaN)."""
    json.dump(document, sys.stdout, ensure_ascii=False, indent=1, allow_nan=False)
    sys.stdout.write("\n")


def show(result: Any) -> None:
    """A result for a person, on standard output; a file or a pipe, which has no width of its own, gets wide tables."""
    from rich.console import Console

    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    Console(width=None if known else PIPE).print(result)


def say(*lines: str) -> None:
    """Lines for a person, on standard error, so that standard output stays a result."""
    for line in lines:
        print(line, file=sys.stderr)
