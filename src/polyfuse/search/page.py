"""Write search results as one self-contained HTML page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from polyfuse.errors import extra

HIDDEN = ("score", "found", "id")
KINDS = (  # of what a row has to show, by how its bytes begin
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "audio/wav"),
    (b"ID3", "audio/mpeg"),
    (b"\xff", "audio/mpeg"),
)
CHARACTERS = 300  # of a value

Shown = Mapping[int, Mapping[str, bytes]]
"""Row id -> input -> its picture or sound to show."""


def write_results(found: pd.DataFrame, shown: Shown, to: str | Path, *, asked: str, place: str) -> Path:
    """Write what was found, with pictures and sounds where rows have some.

    Args:
        found: as ``Index.search`` gives it.
        asked: what the page says was asked.
        place: what it calls the index.
    """
    with extra("train"):
        from jinja2 import Environment, FileSystemLoader

    made = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    page = made.get_template("results.html").render(asked=asked, rows=cards(found, shown), place=place)
    to = Path(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(page, encoding="utf8")
    return to


def cards(found: pd.DataFrame, shown: Shown) -> list[dict[str, Any]]:
    """Score, pictures and sounds as data addresses, and what is known of every row."""
    ids = [int(id) for id in found.id]
    rows = []
    for id, (_, row) in zip(ids, found.iterrows(), strict=True):
        media = [(media_type(content), _address(content)) for content in shown.get(id, {}).values()]
        of = {kind: [to for found, to in media if found.startswith(kind)] for kind in ("image", "audio")}
        rows.append({"id": id, "score": float(row.score), "found": row.found, "known": row_facts(row), **of})
    return rows


def row_facts(row: pd.Series) -> dict[str, str]:
    """The columns of a found row as text, without missing cells and how it was found."""
    known = {str(name): str(value) for name, value in row.items() if name not in HIDDEN and not _nothing(value)}
    return {n: text if len(text) <= CHARACTERS else text[: CHARACTERS - 1] + "…" for n, text in known.items()}


def media_type(content: bytes) -> str:
    """The media type of what a row has to show."""
    return next((kind for head, kind in KINDS if content.startswith(head)), "application/octet-stream")


def _nothing(value: Any) -> bool:
    return value is None or value is pd.NaT or (isinstance(value, float) and value != value)


def _address(content: bytes) -> str:
    return f"data:{media_type(content)};base64,{base64.b64encode(content).decode()}"
