"""``polyfuse index``: rows of a table become something that can be searched; add to it, delete from it, compact it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

import polyfuse
from polyfuse.cli.common import Json, MediaRoot, Trust, command, print_json, say


def index(
    model: Annotated[str, typer.Argument(metavar="BUNDLE|INDEX", help="A model fitted with --align, or an index.")],
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="Rows to put in, or to add.")] = None,
    to: Annotated[str | None, typer.Option(help="Folder of the new index.")] = None,
    delete: Annotated[str | None, typer.Option(help="Delete rows of an index that this query keeps.")] = None,
    compact: Annotated[bool, typer.Option("--compact", help="Drop what deleted rows take on disk.")] = False,
    media_root: MediaRoot = None,
    trust: Trust = None,
    json: Json = False,
) -> None:
    """Make an index of a table, or change one."""
    if polyfuse.Index.is_at(model):
        if to is not None:
            raise ValueError(f"{model} is an index already: leave --to out to add to it, or name a model")
        found, done = _changed(model, table, delete, compact, media_root, trust or ())
    else:
        if table is None or to is None or delete or compact:
            raise ValueError("a new index needs a model, a table and --to DIR; --delete and --compact are for an index")
        found, done = polyfuse.index(model, table, to=to, media_root=media_root, trust=trust or ()), {}
        done["added"] = len(found)
    place = to or model
    if json:
        print_json({"index": place, "rows": len(found), "inputs": found.inputs, **done, "notes": found.notes})
        return
    say(*(f"note: {note}" for note in found.notes), *(f"{what}: {count:,} rows" for what, count in done.items()))
    say(
        f"{place}: {len(found):,} rows, found by {', '.join(found.inputs)}", f'next: {command()} search {place} "WORDS"'
    )


def _changed(
    place: str, table: str | None, delete: str | None, compact: bool, media_root: str | None, trust: Sequence[str]
) -> tuple[polyfuse.Index, dict[str, int]]:
    found, done = polyfuse.Index.open(place, trust=trust), {}
    if delete is not None:
        done["deleted"] = found.delete(where=delete)
    if table is not None:
        done["added"] = found.add(table, media_root=media_root)
    if compact:
        found.compact()
    return found, done
