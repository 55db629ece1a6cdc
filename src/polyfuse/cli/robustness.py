"""``polyfuse robustness``: how much noise in its inputs a saved model takes."""

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
from polyfuse.data.output_paths import check_page_path
from polyfuse.system.messages import show_bars


def robustness(
    bundle: Bundle,
    table: TableArgument,
    where: Where = None,
    media_root: MediaRoot = None,
    max_broken: MaxBroken = None,
    device: Device = "auto",
    trust: Trust = None,
    json: Json = False,
    input: Annotated[list[str] | None, typer.Option(help="Noise this input only; may be repeated.")] = None,
    severity: Annotated[
        list[float] | None, typer.Option(help="A degree of noise from 0 to 1; may be repeated. By default 0.2 to 1.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="The metric of an output's curves.", metavar="OUTPUT=METRIC")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    unseen: Annotated[str, typer.Option(help="Labels unseen in training: error, or skip those rows.")] = "error",
    report: Annotated[str | None, typer.Option(help="Write one self-contained HTML page.", metavar="FILE.html")] = None,
) -> None:
    """Judge a saved model under growing noise in its inputs.

    In each alone and in all together: curves, their area, and the share of the advantage that is kept.
    """
    if report:
        check_page_path(report, table)
    degrees: dict[str, Any] = {"severities": severity} if severity else {}
    metrics = dict(_pair(text) for text in metric or [])
    with show_bars(not json):
        found = polyfuse.load(bundle, device=device, trust=trust or ()).robustness(
            table,
            where=where,
            media_root=media_root,
            max_broken=max_broken,
            inputs=input,
            metrics=metrics,
            seed=seed,
            unseen=unseen,
            verbose=False,
            **degrees,
        )
    if json:
        print_json(found.to_json())
    else:
        show(found)
    if report:  # last, so that a page that cannot be written takes nothing along
        found.to_html(report)
        print_notes(f"report: {report}")


def _pair(text: str) -> tuple[str, str]:
    output, equals, metric = text.rpartition("=")  # an output's name may hold one
    if not equals:
        raise ValueError(f"--metric {text}: expected OUTPUT=METRIC, such as price=rmse")
    return output, metric
