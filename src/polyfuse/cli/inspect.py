"""``polyfuse inspect``: what each column is taken for, and why."""

from __future__ import annotations

from typing import Annotated

import typer

import polyfuse
from polyfuse.cli.common import Json, MediaRoot, TableArgument, Where, print_json, say, show


def inspect(
    table: TableArgument,
    input: Annotated[list[str] | None, typer.Option(help="COL=MODALITY: override what is inferred.")] = None,
    where: Where = None,
    media_root: MediaRoot = None,
    json: Json = False,
) -> None:
    """Show the modality of every column with the reason, and counts of missing and broken cells."""
    found = polyfuse.inspect(table, inputs=input or (), where=where, media_root=media_root)
    if json:
        print_json({"rows": found.rows, "columns": found.columns, "notes": found.notes})
        return
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE, title=f"{found.rows:,} rows", title_justify="left")
    for header in ("column", "modality", "role", "missing", "broken", "distinct", "reason"):
        shown.add_column(header, overflow="fold", justify="right" if header in ("missing", "broken") else "left")
    for row in found.columns:
        facts = (str(row[key]) for key in ("column", "modality", "role", "missing", "broken", "distinct"))
        shown.add_row(*facts, f"{row['reason']}; such as: {row['example']}")
    show(shown)
    say(*found.notes)
