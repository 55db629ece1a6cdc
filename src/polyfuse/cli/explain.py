"""``polyfuse explain``: why a model says what it says of some rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

import polyfuse
from polyfuse.cli.common import (
    Device,
    Json,
    MediaRoot,
    TableArgument,
    Trust,
    Where,
    parse_options,
    print_json,
    print_notes,
    show,
)
from polyfuse.data.output_paths import check_page_path
from polyfuse.errors import format_count
from polyfuse.system.lazy import LazyModule

if TYPE_CHECKING:
    from polyfuse import runtime
    from polyfuse.api import explaining
else:  # which read tables and models
    explaining = LazyModule("polyfuse.api.explaining")
    runtime = LazyModule("polyfuse.runtime")


def explain(
    bundle: Annotated[str, typer.Argument(metavar="MODEL", help="Folder of a saved or an exported model.")],
    table: TableArgument,
    row: Annotated[
        list[int] | None, typer.Option(help="Number of a row, from 0 on; again for more. 0 by default.")
    ] = None,
    method: Annotated[str, typer.Option(help="See polyfuse list explainers.")] = "contribution",
    output: Annotated[str | None, typer.Option(help="That output alone; all that have scores by default.")] = None,
    label: Annotated[str | None, typer.Option(help="The class explained; the most probable by default.")] = None,
    html: Annotated[str | None, typer.Option(help="A page to look at.", metavar="FILE.html")] = None,
    where: Where = None,
    media_root: MediaRoot = None,
    device: Device = "auto",
    trust: Trust = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="OPTION=VALUE of the method, such as patches=12; again for more."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what answers come from.

    Inputs, or parts of their cells: patches of pictures, words, stretches of sound and video, columns.
    """
    place = check_page_path(html, table) if html else None
    asked: dict[str, Any] = {"method": method, "output": output, "label": label, "options": parse_options(settings)}
    asked |= {"where": where, "media_root": media_root}
    rows = row or [0]
    if runtime.is_export(bundle):
        found, notes = explaining.explain_exported(bundle, table, rows, trust=trust or (), **asked)
    else:
        model = polyfuse.load(bundle, device=device, trust=trust or ())
        found = model.explain(table, rows, verbose=False, **asked)
        notes = model.notes
    if place:
        found.to_html(place)
    if json:
        print_json({**found.to_json(), "html": html, "notes": notes})
        return
    if not place:
        show(found)
    print_notes(*notes, *([f"{format_count(len(found), 'answer')} explained in {html}"] if place else []))
