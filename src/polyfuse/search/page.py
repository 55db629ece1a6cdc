"""Results of a search as one page that loads nothing."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from polyfuse.errors import extra

HIDDEN = ("score", "found", "id")


Pictures = Mapping[int, Mapping[str, bytes]]
"""Row id -> input -> its picture to show."""


def write_results(found: pd.DataFrame, pictures: Pictures, to: str | Path, *, asked: str, place: str) -> Path:
    """Write what was found, with pictures where rows have some.

    Args:
        found: as ``Index.search`` gives it.
        asked: what the page says was asked.
        place: what it calls the index.
    """
    with extra("train"):
        from jinja2 import Environment, FileSystemLoader

    made = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    page = made.get_template("results.html").render(asked=asked, rows=cards(found, pictures), place=place)
    to = Path(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(page, encoding="utf8")
    return to


def cards(found: pd.DataFrame, pictures: Pictures) -> list[dict[str, Any]]:
    """Score, pictures as data addresses, and what is known of every row."""
    ids = [int(id) for id in found.id]
    rows = []
    for id, (_, row) in zip(ids, found.iterrows(), strict=True):
        known = {str(name): str(value) for name, value in row.items() if name not in HIDDEN and not _nothing(value)}
        images = [_address(content) for content in pictures.get(id, {}).values()]
        rows.append({"id": id, "score": float(row.score), "found": row.found, "images": images, "known": known})
    return rows


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _address(content: bytes) -> str:
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
