"""``polyfuse evaluate``: how good a saved model is on a table, and which inputs it needs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import polyfuse
from polyfuse.cli.common import (
    Bundle,
    Cost,
    Device,
    Json,
    MaxBroken,
    MediaRoot,
    TableArgument,
    Threshold,
    Trust,
    Where,
    Writing,
    parse_by_output,
    parse_decode_options,
    print_json,
    print_notes,
    show,
)
from polyfuse.data.output_paths import check_page_path
from polyfuse.system.messages import show_bars


def evaluate(
    bundle: Bundle,
    table: TableArgument,
    where: Where = None,
    media_root: MediaRoot = None,
    max_broken: MaxBroken = None,
    device: Device = "auto",
    trust: Trust = None,
    json: Json = False,
    unseen: Annotated[str, typer.Option(help="Labels unseen in training: error, or skip those rows.")] = "error",
    importance: Annotated[
        int, typer.Option(help="Rows on which to measure what shuffling each column costs, such as 500.", min=0)
    ] = 0,
    cost: Cost = None,
    threshold: Threshold = None,
    settings: Writing = None,
    report: Annotated[str | None, typer.Option(help="Write one self-contained HTML page.", metavar="FILE.html")] = None,
) -> None:
    """Judge a saved model on a table.

    Metrics with intervals, calibration, and what each input is worth.
    """
    if report:
        check_page_path(report, table)
    options: dict[str, Any] = {"where": where, "media_root": media_root, "max_broken": max_broken, "unseen": unseen}
    options |= {"costs": parse_by_output(cost, "--cost"), "thresholds": parse_by_output(threshold, "--threshold")}
    options["decode"] = parse_decode_options(settings)
    with show_bars(not json):
        model = polyfuse.load(bundle, device=device, trust=trust or ())
        found = model.evaluate(table, **options, importance=importance, verbose=False)
    if json:
        print_json(found.to_json())
    else:
        show(found)
    if report:  # last, so that a page that cannot be written takes nothing along
        found.to_html(report)
        print_notes(f"report: {report}")
