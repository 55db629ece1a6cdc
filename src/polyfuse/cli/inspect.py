"""``polyfuse inspect``: what each column is taken for, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

import polyfuse
from polyfuse.cli.common import Json, MediaRoot, TableArgument, Where, print_json, say, show

FEW = 5  # broken cells of a column shown; --json has all


def inspect(
    table: TableArgument,
    input: Annotated[list[str] | None, typer.Option(help="COL=MODALITY: override what is inferred.")] = None,
    where: Where = None,
    media_root: MediaRoot = None,
    json: Json = False,
) -> None:
    """Show the modality of every column with the reason, counts of missing and broken cells, and where these are."""
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
    if any(row["broken_cells"] for row in found.columns):
        show(_broken(found.columns))
    say(*found.notes)


def _broken(columns: Sequence[dict[str, Any]]) -> Any:
    """The first cells of each column that cannot be read."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    shown = Table(box=box.SIMPLE, title="cells that cannot be read, and count as missing", title_justify="left")
    for header in ("column", "row", "cell", "reason"):
        shown.add_column(header, overflow="fold")
    for row in columns:
        cells = row["broken_cells"]
        for cell in cells[:FEW]:
            shown.add_row(*(escape(str(text)) for text in (row["column"], cell["row"], cell["file"], cell["reason"])))
        if len(cells) > FEW:
            shown.add_row(escape(row["column"]), "", "", f"and {len(cells) - FEW:,} more; --json has all")
    return shown
