"""``polyfuse compare``: which fusion is best on a table, by how much, at what cost, and whether that is chance."""

from __future__ import annotations

from typing import Annotated

import typer

import polyfuse
from polyfuse.cli.common import (
    Group,
    Input,
    Json,
    MediaRoot,
    Output,
    Set,
    Source,
    Split,
    Table,
    Where,
    print_json,
    say,
    show,
)


def compare(
    source: Source,
    table: Table = None,
    output: Output = None,
    input: Input = None,
    fusion: Annotated[str, typer.Option(help="all, or names with commas; see polyfuse list fusions.")] = "all",
    seeds: Annotated[int, typer.Option(help="Trainings of each.")] = 5,
    budget: Annotated[str | None, typer.Option(help="Time for all, such as 10m; losers are stopped early.")] = None,
    split: Split = None,
    group: Group = None,
    unit: Annotated[str | None, typer.Option(help="Column whose values are resampled together.")] = None,
    where: Where = None,
    media_root: MediaRoot = None,
    to: Annotated[str | None, typer.Option(help="Folder for runs and findings; a stopped one goes on.")] = None,
    seed: Annotated[int | None, typer.Option(help="The first of the seeds.")] = None,
    set: Set = None,
    json: Json = False,
) -> None:
    """Train fusions and single inputs on the same splits and compare them on the same test rows (the first output)."""
    found = polyfuse.compare(
        source,
        table=table,
        outputs=output or (),
        inputs=input or (),
        fusions=fusion,
        seeds=seeds,
        budget=budget,
        split=split,
        group=group,
        unit=unit,
        where=where,
        media_root=media_root,
        to=to,
        seed=seed,
        settings=set or (),
        say=None if json else say,
    )
    if json:
        print_json(found.to_json())
        return
    show(found)
    if to:
        say(f"page: {to}/comparison.html", f"numbers: {to}/comparison.json")
