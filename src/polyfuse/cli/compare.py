"""``polyfuse compare``: which fusion is best on a table, by how much, at what cost, and whether that is chance."""

from __future__ import annotations

from typing import Annotated

import typer

import polyfuse
from polyfuse.cli import common


def compare(
    source: common.Source,
    table: common.Table = None,
    output: common.Output = None,
    input: common.Input = None,
    fusion: Annotated[
        str, typer.Option(help="all, or names with commas; see polyfuse list fusions.", autocompletion=common.FUSIONS)
    ] = "all",
    align: Annotated[str | None, typer.Option(help="Inputs to align in one space, A,B[,C].")] = None,
    alignment: Annotated[
        str | None, typer.Option(help="Compare alignments instead: all, or names such as clip,siglip.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each.")] = 5,
    budget: Annotated[str | None, typer.Option(help="Time for all, such as 10m; losers are stopped early.")] = None,
    split: common.Split = None,
    group: common.Group = None,
    order: common.Order = None,
    weights: common.Weights = None,
    weighted_metrics: common.WeightedMetrics = False,
    unit: Annotated[str | None, typer.Option(help="Column whose values are resampled together.")] = None,
    where: common.Where = None,
    media_root: common.MediaRoot = None,
    to: Annotated[str | None, typer.Option(help="Folder for runs and findings; a stopped one goes on.")] = None,
    seed: Annotated[int | None, typer.Option(help="The first of the seeds.")] = None,
    set: common.Set = None,
    device: common.Device = "auto",
    trust: common.Trust = None,
    json: common.Json = False,
) -> None:
    """Compare fusions, single inputs or alignments on the same rows.

    All are trained on the same splits and judged on the same test rows, on the first output or by retrieval.
    """
    try:
        found = polyfuse.compare(
            source,
            table=table,
            outputs=output or (),
            inputs=input or (),
            fusions=fusion,
            align=align or (),
            alignments=alignment or (),
            seeds=seeds,
            budget=budget,
            split=split,
            group=group,
            order=order,
            weights=weights,
            weighted_metrics=weighted_metrics,
            unit=unit,
            where=where,
            media_root=media_root,
            to=to,
            seed=seed,
            settings=set or (),
            device=device,
            trust=trust or (),
            say=None if json else common.print_notes,
            verbose=False,
        )
    except KeyboardInterrupt:
        common.print_notes(
            "the same command goes on from the runs in " + to if to else "with --to DIR, runs would be kept"
        )
        raise
    if json:
        common.print_json(found.to_json())
        return
    common.show(found)
    if to:
        common.print_notes(f"page: {to}/comparison.html", f"numbers: {to}/comparison.json")
