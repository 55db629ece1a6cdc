"""``polyfuse serve``: models over HTTP, with a page for people, until Ctrl-C or SIGTERM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyfuse.cli.common import Device, Trust, print_notes
from polyfuse.serve.settings import Settings
from polyfuse.system.lazy import LazyModule

if TYPE_CHECKING:
    from polyfuse.serve import service as serving
else:  # which needs FastAPI
    serving = LazyModule("polyfuse.serve.service")

USUAL = Settings()


def serve(
    models: Annotated[
        list[str], typer.Argument(metavar="[NAME=]FOLDER...", help="Folders of saved or exported models.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8000,
    token_file: Annotated[
        str | None,
        typer.Option(help="Bearer tokens, a line each; more in POLYFUSE_TOKENS, parted by commas.", metavar="FILE"),
    ] = None,
    examples: Annotated[
        list[str] | None,
        typer.Option(help="A .csv or .jsonl whose first rows the page offers; again for more.", metavar="[NAME=]TABLE"),
    ] = None,
    allow_url: Annotated[
        list[str] | None,
        typer.Option(help="A host that files may be fetched from; again for more.", metavar="HOST[:PORT]"),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes per model.")] = USUAL.workers,
    batch: Annotated[int, typer.Option(help="Rows that are computed at once.")] = USUAL.batch,
    queue: Annotated[int, typer.Option(help="Rows that may wait for a model; more are refused.")] = USUAL.queue,
    deadline: Annotated[float, typer.Option(help="Seconds for an answer, its request included.")] = USUAL.deadline,
    stall: Annotated[float, typer.Option(help="Seconds after which a worker that computes is ended.")] = USUAL.stall,
    grace: Annotated[float, typer.Option(help="Seconds that a shutdown waits for answers.")] = USUAL.grace,
    max_bytes: Annotated[int, typer.Option(help="Of a request.")] = USUAL.max_bytes,
    max_items: Annotated[int, typer.Option(help="Rows of a request.")] = USUAL.max_items,
    max_pixels: Annotated[int, typer.Option(help="Of a picture.")] = USUAL.max_pixels,
    max_seconds: Annotated[float, typer.Option(help="Of a sound.")] = USUAL.max_seconds,
    max_characters: Annotated[int, typer.Option(help="Of a text.")] = USUAL.max_characters,
    memory: Annotated[int, typer.Option(help="Bytes of all requests held at once.")] = USUAL.memory,
    device: Device = "auto",
    trust: Trust = None,
) -> None:
    """Serve models over HTTP, with a page to try them.

    Predictions, embeddings, texts and explanations; until Ctrl-C or SIGTERM.
    """
    settings = Settings(
        max_bytes=max_bytes,
        max_items=max_items,
        max_pixels=max_pixels,
        max_seconds=max_seconds,
        max_characters=max_characters,
        queue=queue,
        memory=memory,
        deadline=deadline,
        batch=batch,
        stall=stall,
        workers=workers,
        urls=tuple(allow_url or ()),
        grace=grace,
        device=device,
        trust=tuple(trust or ()),
    )
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "settings": settings,
        "token_file": token_file,
        "examples": examples or (),
    }
    serving.run_service(models, **options, started=lambda to: print_notes(f"the page is at {to} (Ctrl-C ends it)"))
