"""``polyfuse inspect``: what each column is taken for, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

import polyfuse
from polyfuse.cli.common import Json, MediaRoot, TableArgument, Where, print_json, print_notes, show


def inspect(
    table: TableArgument,
    input: Annotated[list[str] | None, typer.Option(help="COL=MODALITY: override what is inferred.")] = None,
    where: Where = None,
    media_root: MediaRoot = None,
    json: Json = False,
) -> None:
    """Show what each column is taken for, and why.

    Counts its missing and broken cells as well, and says where these are.
    """
    found = polyfuse.inspect(table, inputs=input or (), where=where, media_root=media_root)
    if json:
        print_json({"rows": found.rows, "columns": found.columns, "notes": found.notes})
        return
    show(replace(found, notes=[]))
    print_notes(*found.notes)
