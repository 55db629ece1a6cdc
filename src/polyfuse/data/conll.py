"""Column files of the CoNLL shared tasks: a word per line with its labels behind it, a blank line after each sentence.

Tjong Kim Sang and De Meulder, CoNLL-2003. A sentence becomes a row; its words and each of its labels a list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from polyfuse.errors import TableError

DOCUMENT = "-DOCSTART-"
ENDINGS = (".conll", ".iob", ".bio")
NAMES = {  # columns of a file -> what they are called; in any other file the first, the last, and numbers between
    1: ["words"],
    2: ["words", "tags"],
    3: ["words", "pos", "tags"],
    4: ["words", "pos", "chunk", "tags"],
}
LOOKED_AT = 200  # lines by which a file of another ending is known
_TAG = re.compile(r"O|[BIESLU](-\S+)?")


def looks_like_conll(text: str) -> bool:
    """Whether lines of equally many columns, between blank lines, end in tags of spans."""
    lines = [line.split() for line in text.splitlines()[:-1][:LOOKED_AT] or text.splitlines()]
    full = [line for line in lines if line]
    if len(full) < 2 or {len(line) for line in full} & {0, 1} or len({len(line) for line in full}) > 1:
        return False
    return all(_TAG.fullmatch(line[-1]) for line in full)


def parse_conll(text: str, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Parse a column file: a row per sentence, a column of lists per column of the file.

    Marks of documents (``-DOCSTART-``) and comments are left out.

    Raises:
        TableError: no sentence, or a line with fewer or more columns than the others, named by its number.
    """
    lines = [(number, line) for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1)]
    mark = "\t" if sum("\t" in line for _, line in lines) > len(lines) / 3 else None
    split = [(number, [part.strip() for part in line.split(mark)] if line.strip() else []) for number, line in lines]
    counts = Counter(len(parts) for _, parts in split if parts)
    if not counts:
        raise TableError(f"{path}: no line holds a word; expected a word per line, its labels behind it")
    width = counts.most_common(1)[0][0]
    names = NAMES.get(width) or ["words", *(f"column_{n}" for n in range(2, width)), "tags"]
    rows: list[list[list[str]]] = []
    sentence: list[list[str]] = []
    documents = comments = 0
    for number, parts in [*split, (0, [])]:
        if not parts or parts[0] == DOCUMENT:
            documents += bool(parts)
            if sentence:
                rows.append([list(column) for column in zip(*sentence, strict=True)])
            sentence = []
        elif len(parts) != width and parts[0].startswith("#"):
            comments += 1
        elif len(parts) != width or not parts[0]:
            found = f"{len(parts)} column{'s' * (len(parts) != 1)}"
            raise TableError(
                f"{path}: line {number} has {found}, where most have {width}; expected a word and its labels, and a "
                "blank line after each sentence"
            )
        else:
            sentence.append(parts)
    notes = [f"{path.name}: {len(rows):,} sentences, columns {', '.join(names)}"]
    notes[0] += f"; {documents:,} marks of documents are left out" if documents else ""
    notes[0] += f"; {comments:,} comments are left out" if comments else ""
    frame = {name: pd.Series([row[at] for row in rows], dtype=object) for at, name in enumerate(names)}
    return pd.DataFrame(frame), notes


def write_conll(place: Path, columns: Mapping[str, Sequence[Sequence[Any]]]) -> list[str]:
    """Write a column file that ``parse_conll`` reads again: a word per line, a blank line after each sentence.

    Args:
        columns: name -> what every sentence has in it, word by word; the words first. Blanks part the columns, or tabs
            where a word has a blank in it.

    Returns:
        A note on the sentences without words, which such a file cannot hold.

    Raises:
        TableError: a word or label is empty, goes over lines, or is what marks a document; names its row.
    """
    for name, sentences in columns.items():
        for row, cell in enumerate(sentences):
            bad = next((part for part in map(str, cell) if not _fits(part)), None)
            if bad is not None:
                raise TableError(
                    f"{place.name}: row {row}: {bad!r} of {name!r} cannot stand in a file of columns, where a line is "
                    "a word; write .jsonl or .parquet instead"
                )
    rows: list[list[tuple[str, ...]]] = [
        list(zip(*(map(str, own) for own in row), strict=True)) for row in zip(*columns.values(), strict=True)
    ]
    blank = any(len(part.split()) > 1 for row in rows for line in row for part in line)
    mark = "\t" if blank else " "
    written = ["".join(f"{mark.join(line)}\n" for line in row) for row in rows if row]
    place.write_text("\n".join(written), encoding="utf8")
    empty = len(rows) - len(written)
    return [f"{place.name}: {empty:,} rows without words are not in it"] if empty else []


def _fits(part: str) -> bool:
    """Whether a line can hold a word or label, and it is read again as it was."""
    return part.strip() == part != "" and len(part.splitlines()) == 1 and "\t" not in part and part != DOCUMENT
