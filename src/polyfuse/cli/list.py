"""``polyfuse list``: every part by name, with one line and its paper."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

import polyfuse
from polyfuse.cli.common import Json, complete_from, print_json, show

KINDS = ("encoders", "fusions", "heads", "objectives", "learners", "compressors", "lessons", "explainers")


def list_parts(
    kind: Annotated[
        str | None,
        typer.Argument(metavar=f"[{'|'.join(KINDS)}]", autocompletion=complete_from(*KINDS)),
    ] = None,
    json: Json = False,
) -> None:
    """List all parts, each with one line and its paper.

    Encoders, fusions, heads, objectives and learners; compressors, lessons of a student, and explainers.
    """
    found = [row for k in ([kind] if kind else KINDS) for row in polyfuse.parts(k)]
    if json:
        print_json([asdict(row) for row in found])
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for header in ("kind", "name", "what it is", "paper"):
        table.add_column(header, overflow="fold")
    for row in found:
        table.add_row(row.kind.removesuffix("s"), row.name, row.summary, row.paper)
    show(table)
