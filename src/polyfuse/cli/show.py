"""``polyfuse show``: what a saved model is made of."""

from __future__ import annotations

from typing import Annotated

import typer

import polyfuse
from polyfuse.cli.common import Bundle, Device, Json, MediaRoot, Trust, Where, print_json
from polyfuse.cli.common import show as print_result


def show(
    bundle: Bundle,
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="Some of its rows are read, to measure what inputs cost.")
    ] = None,
    where: Where = None,
    media_root: MediaRoot = None,
    device: Device = "auto",
    trust: Trust = None,
    json: Json = False,
) -> None:
    """Show a saved model's parts, parameters and size.

    With a table also the milliseconds that each input takes per row.
    """
    found = polyfuse.load(bundle, device=device, trust=trust or ()).summary(table, where=where, media_root=media_root)
    if json:
        print_json(found.to_json())
    else:
        print_result(found)
