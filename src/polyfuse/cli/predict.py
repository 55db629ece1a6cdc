"""``polyfuse predict``: a table with the predictions of a saved model."""

from __future__ import annotations

from typing import Annotated

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
    Writing,
    by_output,
    decode_of,
    print_json,
    say,
)
from polyfuse.system.messages import bars

SHOWN = 30  # columns named at most


def predict(
    bundle: Bundle,
    table: TableArgument,
    to: Annotated[str, typer.Option(help="Where predictions go.", metavar="FILE.csv|.parquet|.jsonl")],
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
    json: Json = False,
) -> None:
    """Predict a table's outputs into a file.

    The table itself is never written over.
    """
    model = polyfuse.load(bundle, device=device, trust=trust or ())
    with bars(not json):
        found = model.predict(
            table,
            where=where,
            media_root=media_root,
            max_broken=max_broken,
            to=to,
            with_table=with_table,
            proba=proba,
            costs=by_output(cost, "--cost"),
            thresholds=by_output(threshold, "--threshold"),
            decode=decode_of(settings),
            verbose=False,
        )
    columns = model.written_columns
    if json:
        print_json({"rows": len(found), "to": to, "columns": columns, "notes": model.notes})
    else:
        say(*model.notes)
        shown = ", ".join(columns[:SHOWN]) + (
            f" and {len(columns) - SHOWN} more columns" if len(columns) > SHOWN else ""
        )
        say(f"{len(found):,} rows with {shown} written to {to}")
