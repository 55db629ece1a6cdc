"""``polyfuse predict``: a table with the predictions of a saved model."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer

import polyfuse
from polyfuse.cli.common import (
    Bundle,
    Cost,
    Device,
    Json,
    MaxBroken,
    MediaRoot,
    TableArgument,
    Threshold,
    Trust,
    Where,
    Writer,
    Writing,
    parse_by_output,
    parse_decode_options,
    print_json,
    print_notes,
)
from polyfuse.errors import format_count
from polyfuse.system.messages import show_bars

SHOWN = 30  # columns named at most


def predict(
    bundle: Bundle,
    table: TableArgument,
    to: Annotated[
        str | None,
        typer.Option(help="Where predictions go.", metavar="FILE.csv|.parquet|.jsonl|.conll|.coco.json"),
    ] = None,
    html: Annotated[
        str | None, typer.Option(help="A page of rows with their answers drawn.", metavar="FILE.html")
    ] = None,
    where: Where = None,
    media_root: MediaRoot = None,
    max_broken: MaxBroken = None,
    device: Device = "auto",
    trust: Trust = None,
    with_table: Annotated[bool, typer.Option("--with-table", help="The table's own columns first.")] = False,
    proba: Annotated[
        bool | None,
        typer.Option("--proba/--no-proba", help="A column per class; by default for outputs of up to 20 classes."),
    ] = None,
    cost: Cost = None,
    threshold: Threshold = None,
    settings: Writing = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print the text of one row as it is written, instead of a file.")
    ] = False,
    output: Writer = None,
    json: Json = False,
) -> None:
    """Predict a table's outputs into a file.

    The table itself is never written over.
    """
    if stream == (to is not None or html is not None) or (stream and json) or (output and not stream):
        raise ValueError(
            "give --to FILE for a table, --html FILE for a page, or --stream for the text of one row, with --output "
            "where several write"
        )
    model = polyfuse.load(bundle, device=device, trust=trust or ())
    if stream:
        others = {"--with-table": with_table, "--proba": proba is not None, "--cost": cost, "--threshold": threshold}
        if idle := [option for option, given in others.items() if given]:
            raise ValueError(f"{', '.join(idle)}: of no use with --stream, which writes one text; leave it out")
        options: dict[str, Any] = {"output": output, "where": where, "media_root": media_root, "max_broken": max_broken}
        grow(model.stream(table, **options, decode=parse_decode_options(settings)))
        print_notes(*model.notes)
        return
    with show_bars(not json):
        found = model.predict(
            table,
            where=where,
            media_root=media_root,
            max_broken=max_broken,
            to=to,
            html=html,
            with_table=with_table,
            proba=proba,
            costs=parse_by_output(cost, "--cost"),
            thresholds=parse_by_output(threshold, "--threshold"),
            decode=parse_decode_options(settings),
            verbose=False,
        )
    columns = model.written_columns
    if json:
        print_json({"rows": len(found), "to": to, "html": html, "columns": columns, "notes": model.notes})
    else:
        print_notes(*model.notes)
        shown = ", ".join(columns[:SHOWN]) + (
            f" and {len(columns) - SHOWN} more columns" if len(columns) > SHOWN else ""
        )
        if to is not None:
            print_notes(f"{format_count(len(found), 'row')} with {shown} written to {to}")
        if html is not None:
            print_notes(f"the page is {html}")


def grow(texts: Iterable[str]) -> None:
    """A text on standard output as it grows: what is new of it, and all of it again where it changed."""
    before = ""
    for text in texts:
        if not text.startswith(before):
            sys.stdout.write("\n")
            before = ""
        sys.stdout.write(text[len(before) :])
        sys.stdout.flush()
        before = text
    sys.stdout.write("\n")
