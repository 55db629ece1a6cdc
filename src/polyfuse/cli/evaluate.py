"""``polyfuse evaluate``: how good a saved model is on a table, and which inputs it needs."""

from __future__ import annotations

from typing import Annotated

import typer

import polyfuse
from polyfuse.cli.common import Bundle, Device, Json, MaxBroken, MediaRoot, TableArgument, Where, print_json, say, show


def evaluate(
    bundle: Bundle,
    table: TableArgument,
    where: Where = None,
    media_root: MediaRoot = None,
    max_broken: MaxBroken = None,
    device: Device = "auto",
    json: Json = False,
    unseen: Annotated[str, typer.Option(help="Labels unseen in training: error, or skip those rows.")] = "error",
    report: Annotated[str | None, typer.Option(help="Write one self-contained HTML page.", metavar="FILE.html")] = None,
) -> None:
    """Judge a saved model on a table: metrics with intervals, calibration, missing modalities."""
    found = polyfuse.load(bundle, device=device).evaluate(
        table, where=where, media_root=media_root, max_broken=max_broken, unseen=unseen
    )
    if json:
        print_json(found.to_json())
    else:
        show(found)
    if report:  # last, so that a page that cannot be written takes nothing along
        found.to_html(report)
        say(f"report: {report}")
