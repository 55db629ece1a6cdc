"""``polyfuse attend``: what of a row's inputs every word of its text was written about."""

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
    Writer,
    Writing,
    parse_decode_options,
    print_json,
    print_notes,
)
from polyfuse.errors import format_count
from polyfuse.system.messages import show_bars


def attend(
    bundle: Bundle,
    table: TableArgument,
    to: Annotated[
        str, typer.Option(help="Where it goes: a page to look at, or all shares.", metavar="FILE.html|.jsonl")
    ],
    output: Writer = None,
    where: Where = None,
    media_root: MediaRoot = None,
    max_broken: MaxBroken = None,
    device: Device = "auto",
    trust: Trust = None,
    settings: Writing = None,
    json: Json = False,
) -> None:
    """Show what each word of a text was written about.

    A map over the picture, seconds of the sound, pieces of the text.
    """
    options: dict[str, Any] = {"output": output, "where": where, "media_root": media_root, "max_broken": max_broken}
    model = polyfuse.load(bundle, device=device, trust=trust or ())
    with show_bars(not json):
        found = model.attend(table, to=to, decode=parse_decode_options(settings), verbose=False, **options)
    if json:
        print_json({"rows": len(found), "to": to, "notes": model.notes})
    else:
        print_notes(*model.notes, f"{format_count(len(found), 'row')} written to {to}")
