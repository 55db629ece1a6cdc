"""Parse delimited text: find the delimiter, the header and the quoting, and split rows into cells.

Files in the wild do not keep to one grammar. A quote around a whole cell is a quote; one that would swallow rows,
or that text follows, is a character. Every line ends up in a row of the header's width, or in an error that names it.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from polyfuse.errors import TableError, format_count

DELIMITERS = ",;\t|"
SNIFFED = 65_536  # characters looked at to find the delimiter
TITLES = 10  # lines that may stand above a header
LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
NAMED_DELIMITER = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
BETWEEN_QUOTES = re.compile(r'"[^"]*"')
NUMERIC = re.compile(r"\s*[+-]?[\d.,]*\d[\d.,]*(?:[eE][+-]?\d+)?\s*")


def read_delimited(text: str, path: Path) -> tuple[pd.DataFrame, str, list[str]]:
    """The cells of a text as they are written, under its header; the delimiter; and notes on what was guessed.

    Args:
        path: what messages call the text.

    Raises:
        TableError: nothing in it, a row with more cells than the header, or a quote that never closes.
    """
    if "\r" in text:  # beside line feeds, a lone return is a character
        text = text if "\n" in text else text.replace("\r", "\n")
    named = NAMED_DELIMITER.match(text)  # a first line that Excel writes and reads
    lines = LINE.findall(text[named.end() :] if named else text)
    layout = _layout(lines, named[1] if named else None)
    rows = _Reader(lines, layout.delimiter, layout.width, 2 if named else 1, path).rows()
    if not rows.texts:
        raise TableError(f"{path}: the file is empty")
    notes = rows.without_titles(layout)
    names = _cells(_body(rows.texts[0]), layout.delimiter, STRICT)
    frame = _parse_rows(rows, layout.delimiter)
    frame, names, said = _fit_header(frame, names, rows, layout.delimiter)
    return frame.set_axis(pd.Index(names, dtype=object), axis=1), layout.delimiter, [*notes, *said]


def _parse_rows(rows: _Rows, delimiter: str) -> pd.DataFrame:
    options: dict[str, Any] = {"header": None, "index_col": False, "dtype": str, "keep_default_na": False}
    options |= {"sep": delimiter, "lineterminator": "\n", "names": range(max(rows.widths))}
    try:
        return pd.read_csv(io.StringIO("".join(rows.texts[1:])), **options)
    except pd.errors.ParserError as error:
        raise TableError(f"{rows.path}: cannot be read as rows of cells: {error}") from None


def _body(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


# --- cells of one row -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Quoting:
    """How a quote inside a quoted cell is escaped: the pattern between the quotes, and what replaces what."""

    inside: str
    escapes: re.Pattern[str]

    @cache  # noqa: B019, there are two of them
    def cell(self, delimiter: str) -> re.Pattern[str]:
        return re.compile(rf' *"({self.inside})" *(?={re.escape(delimiter)}|\r?\n|\r?\Z)', re.DOTALL)

    @cache  # noqa: B019
    def row(self, delimiter: str) -> re.Pattern[str]:
        d = re.escape(delimiter)
        one = rf'(?: *"{self.inside}" *(?={d}|\r?\n|\r?\Z)|(?! *")[^{d}\n]*)'
        return re.compile(rf"{one}(?:{d}{one})*(?=\r?\n|\r?\Z)", re.DOTALL)


STRICT = _Quoting(r'[^"]*(?:""[^"]*)*', re.compile(r'"(")'))
BACKSLASH = _Quoting(r'(?:[^"\\]|\\.|"")*', re.compile(r'\\(["\\])|"(?=")'))


def _cells(row: str, delimiter: str, quoting: _Quoting) -> list[str]:
    """The cells of a row: quotes around a whole cell are taken off, all others are characters."""
    if '"' not in row:
        return row.split(delimiter)
    quoted, found, at = quoting.cell(delimiter), [], 0
    while True:
        if match := quoted.match(row, at):
            found.append(quoting.escapes.sub(lambda m: m[1] or "", match[1]))
            at = match.end()
        else:
            end = row.find(delimiter, at)
            end = len(row) if end < 0 else end
            found.append(row[at:end])
            at = end
        if at >= len(row):
            return found
        at += 1


def _width(line: str, delimiter: str) -> int:
    return len(_cells(line, delimiter, STRICT)) if '"' in line else line.count(delimiter) + 1


# --- delimiter, width and titles --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """The delimiter, the number of cells that most rows have, and how many lines stand above the header."""

    delimiter: str
    width: int
    titles: int = 0


def _layout(lines: list[str], delimiter: str | None) -> _Layout:
    """The delimiter that splits most rows into as many cells as the header, and into more than one."""
    head: list[str] = []
    size = 0
    for line in lines:
        size += len(line)
        if size > SNIFFED and head:
            break
        head.append(_body(line))
    best = delimiter or max(DELIMITERS, key=lambda d: _agreement(head, d))
    widths = [_width(line, best) for line in head if line.strip()] or [1]
    usual = Counter(widths[1:] or widths).most_common(1)[0][0]
    tried = best if widths[0] > 1 else DELIMITERS
    titled = next(filter(None, (_layout_below_titles(head, d) for d in tried)), None)
    # lines of long cells may have more delimiters than the header; only nearly all of them outvote it
    outvoted = usual > widths[0] > 1 and widths.count(usual) >= 0.9 * (len(widths) - 1)
    return titled or _Layout(best, usual if outvoted else widths[0])


def _agreement(head: list[str], delimiter: str) -> tuple[bool, float, int]:
    """Score how well a delimiter explains the first lines, with line ends in quotes and without."""
    lines = [_width(line, delimiter) for line in head if line.strip()] or [0]
    rows = [
        len(row) for row in csv.reader(io.StringIO("\n".join(head).replace("\r", " ")), delimiter=delimiter) if row
    ] or [0]
    return max((widths[0] > 1, widths.count(widths[0]) / len(widths), widths[0]) for widths in (lines, rows))


def _layout_below_titles(head: list[str], delimiter: str) -> _Layout | None:
    """The layout of a table whose header has other lines above it; None where the first line is the header.

    A title is a line of one cell, or one before an empty line, with fewer cells than every line below has.
    """
    filled = [at for at, line in enumerate(head) if line.strip()]
    widths = {at: _width(head[at], delimiter) for at in filled}
    usual = Counter(list(widths.values())[1:]).most_common(1)[0][0] if len(widths) > 2 else 1
    if usual < 2:
        return None
    for titles, at in enumerate(filled[: TITLES + 1]):
        cells = [cell for cell in _cells(head[at], delimiter, STRICT) if cell.strip()]
        gap = at + 1 < len(head) and not head[at + 1].strip()
        if widths[at] < usual and (len(cells) <= 1 or gap):
            continue
        if widths[at] == usual and len(cells) == 1 and usual > 2 and _cells(head[at], delimiter, STRICT)[0].strip():
            continue
        below = filled[titles:]
        same = sum(widths[row] == usual for row in below) >= 0.9 * len(below) and len(below) > 1
        spaced = titles > 0 and at - filled[titles - 1] > 1
        wordy = usual > 2 or any(" " in head[row].strip() or head[row].startswith("#") for row in filled[:titles])
        good = titles and same and (spaced or wordy) and _is_header(_cells(head[at], delimiter, STRICT), spaced)
        return _Layout(delimiter, usual, titles) if good else None
    return None


def _is_header(cells: list[str], spaced: bool) -> bool:
    """Different names, none of them a number or, as after a comma in a sentence, one that begins with a blank."""
    names = [cell.strip() for cell in cells]
    begun = spaced or not any(cell.startswith(" ") for cell in cells[1:])
    return begun and all(names) and len(set(names)) == len(names) and not any(map(NUMERIC.fullmatch, names))


# --- rows -------------------------------------------------------------------------------------------------------------


@dataclass
class _Rows:
    """Rows as strict CSV, with the number of cells and the first line of each."""

    path: Path
    texts: list[str] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    characters: list[int] = field(default_factory=list)

    def without_titles(self, layout: _Layout) -> list[str]:
        """Take off the lines above the header; notes on them, and on quotes that are characters."""
        notes = []
        if layout.titles:
            title = " ".join(self.texts[0].split())[:60]
            notes.append(f"{self.path.name}: {layout.titles} lines above the header are left out: {title!r}")
            for rows in (self.texts, self.widths, self.lines):
                del rows[: layout.titles]  # type: ignore[attr-defined]
        if self.characters:
            notes.append(
                f"{self.path.name}: quotes in {len(self.characters):,} lines are read as characters, they do not "
                f"surround a whole cell; the first in line {self.characters[0]:,}"
            )
        return notes


@dataclass
class _Reader:
    """Assembles rows from lines, deciding at each quote whether a cell continues in the next line.

    Args:
        width: cells of most rows.
        first: number of the first line, for messages.
    """

    all_lines: list[str]
    delimiter: str
    width: int
    first: int
    path: Path

    def rows(self) -> _Rows:
        """Every line that is not blank, as part of one row."""
        found, at, offset, tidy, delimiter = _Rows(self.path), 0, 0, self._tidy.fullmatch, self.delimiter
        while at < len(self.all_lines):
            line, taken = self.all_lines[at], 1
            if '"' not in line:
                text, width = line, line.count(delimiter) + 1
            elif tidy(line):
                text, width = line, BETWEEN_QUOTES.sub("", line).count(delimiter) + 1
            else:
                text, width, taken, literal = self._read_quoted_row(at, offset)
                found.characters += [at + self.first] * literal
            if line.strip(" \r\n"):
                found.texts.append(text.removesuffix("\r\n") + "\n" if text.endswith("\r\n") else text)
                found.widths.append(width)
                found.lines.append(at + self.first)
            offset += len(line) if taken == 1 else sum(map(len, self.all_lines[at : at + taken]))
            at += taken
        return found

    def _read_quoted_row(self, at: int, offset: int) -> tuple[str, int, int, bool]:
        """The row that begins in a line with a quote: as text, its width, its lines, and if quotes are characters."""
        row, width, taken = self._read_quoted_cells(STRICT, at, offset)
        if width == self.width or (not at and taken == 1 and width):
            return row, width, taken, False
        line = _body(self.all_lines[at])
        if '\\"' in self.text:
            escaped, wide, lines = self._read_quoted_cells(BACKSLASH, at, offset)
            if wide == self.width:
                return escaped, wide, lines, False
        if taken == 1:
            return row, width, 1, False
        cells = _cells(line, self.delimiter, STRICT)
        if len(cells) != self.width and not taken and self._is_open(offset):
            raise TableError(
                f"{self.path}: line {at + self.first} opens a quote that never closes. Where it is a character, double "
                "it and put quotes around the cell, or take it out; where the file was cut off, get it again"
            )
        if taken and len(cells) != self.width:
            return row, width, taken, False
        return self._write_strict_row(cells), len(cells), 1, True

    def _read_quoted_cells(self, quoting: _Quoting, at: int, offset: int) -> tuple[str, int, int]:
        """The row with quotes around whole cells, its width and lines; none where they would swallow rows."""
        match = self._patterns[quoting].match(self.text, offset)
        if not match:
            return "", 0, 0
        row = match[0].removesuffix("\r")
        cells = _cells(row, self.delimiter, quoting)
        taken = row.count("\n") + 1
        if taken > 1 and self._swallows_rows(at, taken):
            return "", 0, 0
        as_written = quoting is STRICT and ' "' not in row and '" ' not in row
        return (row + "\n" if as_written else self._write_strict_row(cells)), len(cells), taken

    def _write_strict_row(self, cells: list[str]) -> str:
        doubled = (cell.replace('"', '""') for cell in cells)
        return self.delimiter.join(f'"{cell}"' for cell in doubled) + "\n"

    def _is_open(self, offset: int) -> bool:
        """Whether the last quote of the text is in this row's line or before it: nothing closes what it opens."""
        last = self.text.rfind('"')
        end = self.text.find("\n", offset)
        return end < 0 or last < end

    @cached_property
    def text(self) -> str:
        """All lines."""
        return "".join(self.all_lines)

    @cached_property
    def _tidy(self) -> re.Pattern[str]:
        """One line that any reader takes alike: no quote but those around cells, and doubled ones."""
        d = re.escape(self.delimiter)
        one = rf'(?:"{STRICT.inside}"|[^{d}\n"]*)'
        return re.compile(rf"{one}(?:{d}{one})*\r?\n?")

    @cached_property
    def _patterns(self) -> dict[_Quoting, re.Pattern[str]]:
        return {quoting: quoting.row(self.delimiter) for quoting in (STRICT, BACKSLASH)}

    def _swallows_rows(self, at: int, taken: int) -> bool:
        """Whether a quoted cell over several lines holds rows: each line is one by itself, with cells like others'."""
        rows = [_cells(_body(line), self.delimiter, STRICT) for line in self.all_lines[at : at + taken]]
        if self.width < 2 or any(len(cells) != self.width for cells in rows):
            return False
        known = [(cells[k].strip(), usual) for cells in rows for k, usual in self._usual_values.items()]
        if not known:
            return self.delimiter == "\t" or (self.width > 2 and taken > 2)
        return sum(usual.has(cell) for cell, usual in known) >= 0.75 * len(known)

    @cached_property
    def _usual_values(self) -> dict[int, _UsualValues]:
        """Collect the usual values of columns (numbers, or few values) from the lines that are least ambiguous."""
        lines = [_body(line) for line in self.all_lines[1:2000]]
        rows = self._whole(lines, self._tidy)
        if len(rows) < 3:
            rows = self._whole(lines, self._patterns[STRICT])
        found: dict[int, _UsualValues] = {}
        for k in range(self.width if len(rows) >= 3 else 0):
            values = [row[k].strip() for row in rows]
            filled = [value for value in values if value]
            gaps = len(filled) < len(values)
            if filled and all(map(NUMERIC.fullmatch, filled)):
                found[k] = _UsualValues(None, gaps)
            elif len(set(filled)) <= max(2, len(filled) / 5):
                found[k] = _UsualValues(frozenset(filled), gaps)
        return found

    def _whole(self, lines: list[str], row: re.Pattern[str]) -> list[list[str]]:
        """The cells of lines that are a row of the usual width by a pattern."""
        matched = (line for line in lines if '"' not in line or row.fullmatch(line))
        return [cells for line in matched if len(cells := _cells(line, self.delimiter, STRICT)) == self.width]


@dataclass(frozen=True)
class _UsualValues:
    """The few values of a column, or None for numbers; and whether some of its cells are empty."""

    values: frozenset[str] | None
    gaps: bool

    def has(self, cell: str) -> bool:
        """Whether a cell is like those of the column."""
        if not cell:
            return self.gaps
        return bool(NUMERIC.fullmatch(cell)) if self.values is None else cell in self.values


# --- rows and header of one width -------------------------------------------------------------------------------------


def _fit_header(
    frame: pd.DataFrame, names: list[str], rows: _Rows, delimiter: str
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Frame and header made equally wide where nothing is lost by it; notes on how."""
    width, name, notes = len(names), rows.path.name, []
    beyond = frame.iloc[:, width:]
    over = (beyond.notna() & (beyond != "")).any(axis=1)
    if over.any() and set(rows.widths[1:]) == {width + 1} and _are_row_numbers(frame[0]):  # as R writes them
        return frame, ["", *names], [f"{name}: the header has no name for the first cells, which number the rows"]
    if over.any():
        row = int(over.to_numpy().argmax()) + 1
        raise TableError(
            f"{rows.path}: line {rows.lines[row]:,} has {rows.widths[row]:,} cells, the header {width:,}. A cell that "
            f"holds {delimiter!r} needs double quotes around it"
        )
    if beyond.shape[1]:
        notes.append(f"{name}: rows end in {delimiter!r} more than the header does; nothing stands behind it")
    frame = frame.iloc[:, :width]
    hollow = [k for k in range(width) if not names[k].strip() and (frame[k].isna() | (frame[k] == "")).all()]
    if hollow and len(hollow) < width:
        notes.append(f"{name}: left out: {format_count(len(hollow), 'column')} without a name or a cell")
        frame = frame.drop(columns=hollow)
    last = max(frame.columns, default=0)
    short = [line for line, cells in zip(rows.lines[1:], rows.widths[1:], strict=True) if cells <= last]
    if short:
        notes.append(
            f"{name}: {format_count(len(short), 'row has', 'rows have')} fewer cells than the header, what is lacking "
            f"counts as missing; the first in line {short[0]:,}"
        )
    return frame, [names[k] for k in frame.columns], notes


def _are_row_numbers(column: pd.Series) -> bool:
    return column.is_unique and bool(column.str.fullmatch("[0-9]+").all())
