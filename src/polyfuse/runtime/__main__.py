"""``python -m polyfuse.runtime DIR ROWS``: answers of an exported folder, one line of JSON per row; without torch."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from polyfuse.runtime import load
from polyfuse.runtime.servant import Answer


def rows_of(file: Path) -> list[Mapping[str, Any]]:
    """Rows of a ``.json`` (a list of objects, or one), ``.jsonl`` or ``.csv`` file.

    Raises:
        ValueError: another ending, or a file that does not hold rows.
    """
    kind, text = file.suffix.lower(), file.read_text(encoding="utf-8-sig")
    if kind == ".csv":
        return [{key: value for key, value in row.items() if key} for row in csv.DictReader(text.splitlines(True))]
    try:
        if kind == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        elif kind == ".json":
            found = json.loads(text)
            rows = found if isinstance(found, list) else [found]
        else:
            raise ValueError(f"{file}: expected a .json, .jsonl or .csv file")
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is no {kind[1:]}: {error}") from None
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{file}: expected a row, or a list of rows, each column -> cell")
    return rows


def plain(answer: Answer) -> dict[str, Any]:
    """An answer as JSON, without what it does not have."""
    found = {key: value for key, value in asdict(answer).items() if value is not None or key == "value"}
    if answer.probabilities is not None:
        found["probabilities"] = {str(label): p for label, p in answer.probabilities.items()}
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the answers of an exported folder to rows in a file; notes go to standard error."""
    parser = argparse.ArgumentParser(prog="python -m polyfuse.runtime", description=(__doc__ or "").partition(":")[2])
    parser.add_argument("folder", help="what polyfuse export wrote")
    parser.add_argument("rows", type=Path, help="a .json, .jsonl or .csv file")
    parser.add_argument("--media-root", type=Path, help="folder that paths start from; that of the rows by default")
    parser.add_argument("--without", action="append", default=[], metavar="INPUT", help="count an input as missing")
    given = parser.parse_args(arguments)
    try:
        model = load(given.folder, media_root=given.media_root or given.rows.resolve().parent)
        answers, notes = model.predict(rows_of(given.rows), without=given.without)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    for note in notes:
        print(note, file=sys.stderr)
    for row in answers:
        print(json.dumps({name: plain(answer) for name, answer in row.items()}, ensure_ascii=False))


if __name__ == "__main__":
    main()
