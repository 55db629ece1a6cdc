"""``polyfuse search``: ask an index with words, a picture, a sound, a row of its own, or several of them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

import polyfuse
from polyfuse.cli.common import Device, Json, Trust, print_json, print_notes, show
from polyfuse.errors import format_count
from polyfuse.system.lazy import LazyModule

if TYPE_CHECKING:
    from polyfuse.search import serve as serving
else:  # which needs pandas
    serving = LazyModule("polyfuse.search.serve")

SHOWN = 60  # characters of a cell on the terminal


def search(
    index: Annotated[str, typer.Argument(metavar="INDEX", help="Folder of an index.")],
    text: Annotated[str | None, typer.Argument(metavar="WORDS", help="What to look for.")] = None,
    image: Annotated[str | None, typer.Option(help="A picture to ask with.", metavar="FILE")] = None,
    audio: Annotated[str | None, typer.Option(help="A sound to ask with.", metavar="FILE")] = None,
    row: Annotated[int | None, typer.Option(help="Number of a row of the index to ask with.")] = None,
    id: Annotated[int | None, typer.Option(help="Id of a row of the index to ask with.")] = None,
    weight: Annotated[list[str] | None, typer.Option(help="INPUT=NUMBER: what its part counts.")] = None,
    by: Annotated[str | None, typer.Option(help="Aligned input that reads the words.")] = None,
    find: Annotated[list[str] | None, typer.Option(help="Input to compare with; again for more.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many rows.")] = 10,
    where: Annotated[str | None, typer.Option(help="A pandas query that keeps rows, such as 'year > 2010'.")] = None,
    html: Annotated[str | None, typer.Option(help="Write the results as a page.", metavar="FILE.html")] = None,
    approximate: Annotated[
        bool | None,
        typer.Option("--approximate/--exact", help="Look at the likeliest rows alone, or at all; by size by default."),
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Open a page on this machine to ask with.")] = False,
    port: Annotated[int | None, typer.Option(help="Of the page; 0 for any that is free.")] = None,
    device: Device = "auto",
    trust: Trust = None,
    json: Json = False,
) -> None:
    """Find the rows of an index that are nearest to a query."""
    opened = polyfuse.Index.open(index, device=device, trust=trust or ())
    if serve:
        asked = (text, image, audio, row, id, weight, by, find, where, html, approximate)
        if any(given is not None for given in asked) or json:
            raise ValueError("--serve asks on its page: give it --port and --device alone")
        _serve(opened, serving.PORT if port is None else port)
        return
    if port is not None:
        raise ValueError("--port is of the page that --serve opens")
    options: dict[str, Any] = {"image": image, "audio": audio, "row": row, "id": id, "by": by}
    options |= {"weights": dict(map(_weight, weight or ())), "find": find, "k": k, "where": where}
    options["approximate"] = approximate
    found = opened.search(text, **options)
    if html:
        opened.to_html(found, html, asked=text or image or audio or f"row {row if row is not None else id}")
    if json:
        print_json(_plain(found))
        return
    print_notes(*(f"note: {note}" for note in opened.notes))
    show(_table(found))


def _serve(opened: polyfuse.Index, port: int) -> None:
    with serving.Server(opened, port) as server:
        print_notes(f"{format_count(len(opened), 'row')} at {server.address} (Ctrl-C ends it)")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _weight(text: str) -> tuple[str, float]:
    name, mark, number = text.rpartition("=")
    try:
        if not mark:
            raise ValueError
        return name, float(number)
    except ValueError:
        raise ValueError(f"--weight {text!r}: expected INPUT=NUMBER, such as image=0.5") from None


def _plain(found: Any) -> list[dict[str, Any]]:
    import json

    return json.loads(found.to_json(orient="records", force_ascii=False, date_format="iso"))


def _table(found: Any) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    columns = [name for name in found if name != "id"]
    for name in columns:
        table.add_column(escape(str(name)), header_style="dim")
    for values in found[columns].itertuples(index=False):
        cells = (f"{v:.3f}" if isinstance(v, float) else str(v) for v in values)
        table.add_row(*(escape(c if len(c) <= SHOWN else c[: SHOWN - 1] + "…") for c in cells))
    return table
