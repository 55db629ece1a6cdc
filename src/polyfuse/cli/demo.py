"""``polyfuse demo``: digits that are written, spoken and hinted at; one model that fuses all three."""

from __future__ import annotations

from typing import Annotated

import typer

import polyfuse
from polyfuse.cli.common import Json, command, print_json, say, show


def demo(
    to: Annotated[str, typer.Option(help="Folder of the model and its report.")] = "demo-output",
    json: Json = False,
) -> None:
    """Train on handwriting, speech and clues; report.

    Saves the model, its table and the report.
    """
    report = polyfuse.demo(to=to, quiet=json)
    if json:
        print_json(report.to_json())
        return
    show(report)
    say(
        f"model:  {to}/model",
        f"report: {to}/report.html",
        f"next:   {command()} predict {to}/model {to}/table.parquet --where \"split == 'test'\" --to predictions.csv",
    )
