"""``polyfuse zero-shot``: classes by their names alone."""

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
    show,
)
from polyfuse.errors import format_count


def zero_shot(
    bundle: Bundle,
    table: TableArgument,
    label: Annotated[list[str], typer.Option(help="Name of a class; again for more, or A,B,C.")],
    template: Annotated[list[str] | None, typer.Option(help="A sentence with {} where the label goes.")] = None,
    of: Annotated[str | None, typer.Option(help="Aligned input that is classified.")] = None,
    by: Annotated[str | None, typer.Option(help="Aligned input that reads the labels.")] = None,
    to: Annotated[str | None, typer.Option(help="A .csv, .tsv, .jsonl or .parquet file.", metavar="FILE")] = None,
    where: Where = None,
    media_root: MediaRoot = None,
    max_broken: MaxBroken = None,
    device: Device = "auto",
    trust: Trust = None,
    json: Json = False,
) -> None:
    """Say for every row which of some labels fits best.

    None of them needs to have been trained on.
    """
    labels = [name.strip() for text in label for name in text.split(",") if name.strip()]
    model = polyfuse.load(bundle, device=device, trust=trust or ())
    options: dict[str, Any] = {"of": of, "by": by, "where": where, "media_root": media_root}
    options["max_broken"] = max_broken
    found = model.zero_shot(table, labels, template or ("{}",), to=to, verbose=False, **options)
    print_notes(*(f"note: {note}" for note in model.notes))
    if json:
        counts = found.label.value_counts()
        print_json({"rows": len(found), "labels": {str(k): int(v) for k, v in counts.items()}, "to": to})
    elif to:
        print_notes(f"{format_count(len(found), 'row')} written to {to}")
    else:
        show(found.to_string(index=False, max_rows=30))
