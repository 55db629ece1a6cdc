"""``polyfuse export``: a saved model as a folder that runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import polyfuse
from polyfuse.cli.common import Bundle, Json, Trust, print_json, say


def export(
    bundle: Bundle,
    to: Annotated[str, typer.Option(help="The folder to write; it must not exist.", metavar="DIR")],
    format: Annotated[str, typer.Option(help="How it is written.", metavar="onnx")] = "onnx",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Take the place of an older export; nothing else is ever replaced.")
    ] = False,
    once: Annotated[
        bool,
        typer.Option("--once", help="Accept one look at every row where the model averages several augmented ones."),
    ] = False,
    trust: Trust = None,
    json: Json = False,
) -> None:
    """Write a model for use without torch.

    Graphs, preprocessing and a manifest, which polyfuse.runtime.load and python -m polyfuse.runtime answer from.
    """
    model = polyfuse.load(bundle, device="cpu", trust=trust or ())
    folder = model.export(to, format=format, overwrite=overwrite, once=once)
    size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    if json:
        print_json({"to": to, "format": format, "bytes": size})
    else:
        say(f"{model.name} written to {to} as {format}, {size / 1e6:.1f} MB; answer rows with")
        say(f"  python -m polyfuse.runtime {to} ROWS.json")
