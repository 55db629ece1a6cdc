"""A few rows of a table that the page offers to fill in, read once, without pandas."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from polyfuse.data.cells.literals import decode_embedded
from polyfuse.serve.intake import MEDIA

MOST = 6
BYTES = 2**20  # of a picture or sound that the page loads with itself


def read_examples(table: str | Path) -> list[dict[str, Any]]:
    """The first rows of a CSV or JSON Lines file; cells as they stand there.

    Raises:
        ValueError: no such file, or none of these.
    """
    path = Path(table)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in (".jsonl", ".ndjson"):
                rows = [json.loads(line) for line in islice((line for line in file if line.strip()), MOST)]
            elif path.suffix.lower() in (".csv", ".tsv"):
                mark = "\t" if path.suffix.lower() == ".tsv" else ","
                rows = list(islice(csv.DictReader(file, delimiter=mark), MOST))
            else:
                raise ValueError("expected a .csv, .tsv or .jsonl file")
        if not rows or not all(isinstance(row, dict) for row in rows):
            raise ValueError("it holds no rows")
    except OSError as error:
        raise ValueError(f"examples {path}: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise ValueError(f"examples {path}: {error}") from None
    return rows


def shown(rows: list[dict[str, Any]], kinds: Mapping[str, str], root: Path) -> list[dict[str, Any]]:
    """The cells of these columns as the API takes them: files become base64, and what is missing or large is left out.

    Args:
        kinds: column -> its kind.
        root: folder that paths start from.

    Raises:
        ValueError: a file is not there.
    """
    return [
        {c: made for c, kind in kinds.items() if (made := _cell(row.get(c), kind, root)) is not None} for row in rows
    ]


def _cell(cell: Any, kind: str, root: Path) -> Any:
    if cell is None or cell == "":
        return None
    if kind == "vector" and isinstance(cell, str):
        return json.loads(cell) if cell.startswith("[") else None
    if kind not in MEDIA:
        return cell
    if not isinstance(cell, str):
        return None
    content = decode_embedded(cell)
    if content is None:
        try:
            content = (root / cell).read_bytes()
        except OSError as error:
            raise ValueError(f"example file {root / cell}: {error.strerror}") from None
    return {"base64": base64.b64encode(content).decode()} if len(content) <= BYTES else None
