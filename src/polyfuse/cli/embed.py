"""``polyfuse embed``: one vector per row of a table."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import polyfuse
from polyfuse.cli.common import (
    Bundle,
    Device,
    Json,
    MaxBroken,
    MediaRoot,
    TableArgument,
    Trust,
    Where,
    print_json,
    print_notes,
)


def embed(
    bundle: Bundle,
    table: TableArgument,
    to: Annotated[str, typer.Option(help="A NumPy file, (rows, D) float32.", metavar="FILE.npy")],
    of: Annotated[str | None, typer.Option(help="One input before fusion; the fused vector by default.")] = None,
    where: Where = None,
    media_root: MediaRoot = None,
    max_broken: MaxBroken = None,
    device: Device = "auto",
    trust: Trust = None,
    json: Json = False,
) -> None:
    """Write one vector per row.

    The fused representation, or that of one input.
    """
    options: dict[str, Any] = {"of": of, "where": where, "media_root": media_root, "max_broken": max_broken}
    found = polyfuse.load(bundle, device=device, trust=trust or ()).embed(table, to=to, **options)
    if json:
        print_json({"rows": len(found), "width": found.shape[1], "to": to})
    else:
        print_notes(f"{found.shape[0]:,} vectors of width {found.shape[1]} written to {to}")
