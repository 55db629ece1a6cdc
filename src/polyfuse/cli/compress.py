"""``polyfuse compress``: a saved model in, a smaller one out, and what that costs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import polyfuse
from polyfuse import registry
from polyfuse.cli.common import (
    Bundle,
    Device,
    Json,
    MediaRoot,
    Table,
    Trust,
    Where,
    complete_from,
    print_json,
    print_notes,
    show,
)
from polyfuse.data.names import partition_unquoted


def compress(
    bundle: Bundle,
    method: Annotated[
        str,
        typer.Option(
            help="One of polyfuse list compressors, or several: distill+prune+quantize.",
            autocompletion=complete_from(*registry.COMPRESSORS),
        ),
    ],
    to: Annotated[str, typer.Option(help="A new folder; nothing is written over.")],
    table: Table = None,
    student: Annotated[str | None, typer.Option(help="distill: the student's recipe.", metavar="FILE.yaml")] = None,
    inputs: Annotated[str | None, typer.Option(help="distill: inputs that the student keeps, with commas.")] = None,
    lessons: Annotated[
        str | None, typer.Option(help="distill: what it learns of, with commas; see polyfuse list lessons.")
    ] = None,
    ratio: Annotated[
        str | None, typer.Option(help="prune, magnitude: share that goes, or by part: image=0.5,text=0.3.")
    ] = None,
    energy: Annotated[float | None, typer.Option(help="low_rank: share of squared singular values kept.")] = None,
    rank: Annotated[int | None, typer.Option(help="low_rank: of every matrix, instead.")] = None,
    form: Annotated[str | None, typer.Option(help="quantize: int8, bf16; dynamic, static for ONNX.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Of training: of a student, or after what was cut.")] = None,
    set: Annotated[
        list[str] | None, typer.Option(help="METHOD.SETTING=VALUE, such as distill.width=0.25; again for more.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(help="What the metric may lose on validation rows, such as 0.01: as strong as that allows."),
    ] = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory, each model in a process of its own.")] = True,
    where: Where = None,
    media_root: MediaRoot = None,
    device: Device = "auto",
    trust: Trust = None,
    json: Json = False,
) -> None:
    """Make a saved model smaller, and show what that costs.

    The table is that of training by default.
    """
    given: dict[str, Any] = {"student": student, "inputs": inputs, "lessons": lessons, "ratio": ratio}
    given |= {"energy": energy, "rank": rank, "form": form, "epochs": epochs}
    keywords = {name: value for name, value in given.items() if value is not None}
    model = polyfuse.load(bundle, device=device, trust=trust or ())
    found = model.compress(
        table,
        method=method,
        to=to,
        settings=_settings(set or []),
        max_drop=max_drop,
        where=where,
        media_root=media_root,
        memory=memory,
        verbose=not json,
        **keywords,
    )
    if json:
        print_json({"folder": str(found.folder), **found.to_json()})
        return
    show(found)
    print_notes(f"saved to {found.folder}")


def _settings(texts: list[str]) -> dict[str, dict[str, Any]]:
    """``METHOD.SETTING=VALUE`` -> method -> settings.

    Raises:
        ValueError: not of this form.
    """
    import yaml

    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        path, equals, value = partition_unquoted(text, "=")
        method, dot, name = path.partition(".")
        if not (equals and dot and method and name):
            raise ValueError(f"--set {text}: expected METHOD.SETTING=VALUE, such as distill.width=0.25")
        found.setdefault(method, {})[name] = yaml.safe_load(value)
    return found
