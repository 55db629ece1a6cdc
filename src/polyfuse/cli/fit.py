"""``polyfuse fit``: a table or a recipe in, a saved and judged model out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import polyfuse
from polyfuse.cli import common
from polyfuse.data.names import partition_unquoted, unquote


def fit(
    source: common.Source,
    table: common.Table = None,
    output: common.Output = None,
    input: common.Input = None,
    fusion: Annotated[
        str | None, typer.Option(help="How inputs are fused; see polyfuse list fusions.", autocompletion=common.FUSIONS)
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="What is taken where nothing is named: plain, scratch, starter or best.",
            autocompletion=common.complete_from("plain", "scratch", "starter", "best"),
        ),
    ] = None,
    align: Annotated[
        str | None, typer.Option(help="Inputs to align in one space, A,B[,C]: each then finds the others.")
    ] = None,
    split: common.Split = None,
    group: common.Group = None,
    order: common.Order = None,
    folds: common.Folds = None,
    weights: common.Weights = None,
    weighted_metrics: common.WeightedMetrics = False,
    where: common.Where = None,
    media_root: common.MediaRoot = None,
    to: Annotated[str | None, typer.Option(help="Folder of the model; named after the table by default.")] = None,
    time: Annotated[str | None, typer.Option(help="Time budget, such as 90s, 5m or 1h.")] = None,
    seed: Annotated[int | None, typer.Option(help="Fixes everything random.")] = None,
    set: common.Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after an interruption.")] = False,
    device: common.Device = "auto",
    trust: common.Trust = None,
    json: common.Json = False,
) -> None:
    """Train a model, judge it on the test split and save it."""
    to = to or default_model_folder(source, output or ())
    model = polyfuse.fit(
        source,
        table=table,
        outputs=output or (),
        inputs=input or (),
        fusion=fusion,
        preset=preset,
        align=align or (),
        split=split,
        group=group,
        order=order,
        folds=folds,
        weights=weights,
        weighted_metrics=weighted_metrics,
        where=where,
        media_root=media_root,
        to=to,
        time=time,
        seed=seed,
        settings=set or (),
        device=device,
        trust=trust or (),
        resume=resume,
        quiet=json,
        verbose=False,
    )
    if json:
        common.print_json({"model": to, "training": model.facts["training"], **(model.facts.get("evaluation") or {})})
        raise typer.Exit(130 if model.facts["training"]["interrupted"] else 0)
    if model.evaluation is not None:
        common.show(model.evaluation)
    else:
        common.print_notes(*model.notes)
    common.print_notes(f"saved to {to}", f"next: {common.program_name()} evaluate {to} TABLE --report report.html")
    if model.facts["training"]["interrupted"]:
        raise typer.Exit(130)


def default_model_folder(source: str, outputs: Sequence[str]) -> str:
    """Default folder of a model: ``models/TABLE-OUTPUT``."""
    path = Path(source)
    path = path.with_suffix("") if path.suffix.lower() in (".gz", ".bz2", ".xz") else path
    stem = path.parent.name if path.stem in ("table", "train", "recipe") and path.parent.name else path.stem
    return str(Path("models") / "-".join([stem, *(unquote(partition_unquoted(output, "=")[0]) for output in outputs)]))
