"""``polyfuse demo``: digits that are written, spoken and hinted at; one model that fuses all three."""

from __future__ import annotations

from typing import Annotated

import typer

import polyfuse
from polyfuse.cli.common import Json, print_json, print_notes, program_name, show


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
    print_notes(
        f"model:  {to}/model",
        f"report: {to}/report.html",
        f"next:   {program_name()} predict {to}/model {to}/table.parquet "
        "--where \"split == 'test'\" --to predictions.csv",
    )
