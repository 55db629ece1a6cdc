"""``polyfuse index``: rows of a table become something that can be searched; add to it, delete from it, compact it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import polyfuse
from polyfuse.cli.common import Device, Json, MaxBroken, MediaRoot, Trust, print_json, print_notes, program_name
from polyfuse.errors import format_count


def index(
    model: Annotated[str, typer.Argument(metavar="BUNDLE|INDEX", help="A model fitted with --align, or an index.")],
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="Rows to put in, or to add.")] = None,
    to: Annotated[str | None, typer.Option(help="Folder of the new index.")] = None,
    delete: Annotated[str | None, typer.Option(help="Delete rows of an index that this query keeps.")] = None,
    compact: Annotated[bool, typer.Option("--compact", help="Drop what deleted rows take on disk.")] = False,
    approximate: Annotated[
        bool,
        typer.Option(
            "--approximate", help="With --compact: make ready what finds rows without looking at all of them."
        ),
    ] = False,
    media_root: MediaRoot = None,
    max_broken: MaxBroken = None,
    device: Device = "auto",
    trust: Trust = None,
    json: Json = False,
) -> None:
    """Make an index of a table, or change one."""
    if approximate and not compact:
        raise ValueError("--approximate goes with --compact")
    if polyfuse.Index.is_at(model):
        if to is not None:
            raise ValueError(f"{model} is an index already: leave --to out to add to it, or name a model")
        opened = polyfuse.Index.open(model, device=device, trust=trust or ())
        found, done = opened, _change_index(opened, table, delete, {"media_root": media_root, "max_broken": max_broken})
        if compact:
            opened.compact(approximate=approximate or None)
    else:
        if table is None or to is None or delete or compact:
            raise ValueError("a new index needs a model, a table and --to DIR; --delete and --compact are for an index")
        options: dict[str, Any] = {"media_root": media_root, "max_broken": max_broken, "device": device}
        options["trust"] = trust or ()
        found, done = polyfuse.index(model, table, to=to, **options), {}
        done["added"] = len(found)
    place = to or model
    if json:
        print_json({"index": place, "rows": len(found), "inputs": found.inputs, **done, "notes": found.notes})
        return
    print_notes(
        *(f"note: {note}" for note in found.notes),
        *(f"{what}: {format_count(count, 'row')}" for what, count in done.items()),
    )
    print_notes(
        f"{place}: {format_count(len(found), 'row')}, found by {', '.join(found.inputs)}",
        f'next: {program_name()} search {place} "WORDS"',
    )


def _change_index(
    found: polyfuse.Index, table: str | None, delete: str | None, reading: dict[str, Any]
) -> dict[str, int]:
    done = {}
    if delete is not None:
        done["deleted"] = found.delete(where=delete)
    if table is not None:
        done["added"] = found.add(table, **reading)
    return done
