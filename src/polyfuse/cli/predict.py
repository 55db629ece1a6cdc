"""``polyfuse predict``: a table with the predictions of a saved model."""

from __future__ import annotations

from typing import Annotated

import typer

import polyfuse
from polyfuse.cli.common import Bundle, Device, Json, MaxBroken, MediaRoot, TableArgument, Where, print_json, say


def predict(
    bundle: Bundle,
    table: TableArgument,
    to: Annotated[str, typer.Option(help="Where predictions go.", metavar="FILE.csv|.parquet|.jsonl")],
    where: Where = None,
    media_root: MediaRoot = None,
    max_broken: MaxBroken = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Predict every output of a table's rows and write them to a file."""
    model = polyfuse.load(bundle, device=device)
    found = model.predict(table, where=where, media_root=media_root, max_broken=max_broken, to=to)
    if json:
        print_json({"rows": len(found), "to": to, "columns": list(found.columns)})
    else:
        say(*model.notes)
        say(f"{len(found):,} rows with {', '.join(found.columns)} written to {to}")
