"""Writes attention by word to a file: all shares as JSON Lines, or an HTML page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polyfuse.data.tables import Table
from polyfuse.evaluation.attention_view import view_attention
from polyfuse.evaluation.html import MEANING, attention_rows, environment
from polyfuse.heads.text.word_attention import TextAttention
from polyfuse.model.bundle import Bundle

MOST = 100  # rows of a page


def write(bundle: Bundle, table: Table, found: Sequence[TextAttention], place: Path, facts: Mapping[str, Any]) -> None:
    """Write what was found of all rows of a table, as the file's ending says.

    Args:
        facts: ``model``, ``table`` and ``output``.
    """
    place.write_text(_WRITTEN[place.suffix.lower()](bundle, table, found, facts), encoding="utf8")


def page(bundle: Bundle, table: Table, found: Sequence[TextAttention], facts: Mapping[str, Any]) -> str:
    """The first rows as one self-contained page."""
    shown = [
        {"number": one.row, "looked": attention_rows(view_attention(bundle, table, n, one))}
        for n, one in enumerate(found[:MOST])
    ]
    view = {"rows": shown, "left_out": len(found) - len(shown), "meta": facts, "meaning": MEANING}
    return environment().get_template("attention.html").render({**view, "title": facts["model"]})


def lines(bundle: Bundle, table: Table, found: Sequence[TextAttention], facts: Mapping[str, Any]) -> str:  # noqa: ARG001
    """A line of JSON per row."""
    return "".join(json.dumps({"output": facts["output"], **one.to_json()}, ensure_ascii=False) + "\n" for one in found)


_Writer = Callable[[Bundle, Table, Sequence[TextAttention], Mapping[str, Any]], str]
_WRITTEN: dict[str, _Writer] = {".html": page, ".jsonl": lines}
