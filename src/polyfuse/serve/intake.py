"""From what a client sent to rows of plain cells, each checked before anything is decoded, each refusal with its field.

A text is never taken for the path of a file, and an address is fetched only from hosts that were allowed by name.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from polyfuse.data.cells import picture, sound
from polyfuse.data.cells.dates import parse_datetime
from polyfuse.data.cells.numbers import parse_number
from polyfuse.data.cells.source import BadCell, Limits, repair_surrogates
from polyfuse.runtime.servant import InputFacts, OutputFacts, Record
from polyfuse.serve.problems import Problem, unreadable
from polyfuse.serve.settings import Settings

MEDIA = ("image", "audio", "video")
SEVERAL = 16  # files of one cell
NUMBERS = 100_000  # of one vector
SHOWN = 40  # characters of what was found, in a message
UNLIMITED = Limits(2**62, 2**62, float("inf"), 2**62)

Fetch = Callable[[str, str], bytes]
"""Address and field -> the bytes that lie there."""


def parse_json(body: bytes) -> dict[str, Any]:
    """The object that a body holds.

    Raises:
        Problem: no JSON, none in UTF-8, nested too deep, with NaN, Infinity or a number too long; or no object.
    """
    try:
        found = json.loads(body.decode("utf8"), parse_constant=_no_constant)
    except RecursionError:
        raise Problem(400, "the JSON is nested too deep") from None
    except UnicodeDecodeError:
        raise Problem(400, "the body is no text in UTF-8") from None
    except ValueError as error:
        raise Problem(400, f"the body is no JSON: {str(error)[:120]}") from None
    if not isinstance(found, dict):
        raise Problem(422, f"the body holds {_named(found)}, expected an object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON; write null for what is missing")


@dataclass(frozen=True)
class Size:
    """What a row weighs: pixels to decode, seconds of sound, characters of text."""

    pixels: int = 0
    seconds: float = 0.0
    characters: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.pixels + other.pixels, self.seconds + other.seconds, self.characters + other.characters)


@dataclass(frozen=True)
class Row:
    """A row that can be asked: its cells, what it weighs, and what is to be said of them."""

    record: Record
    size: Size
    notes: tuple[str, ...] = ()


class Intake:
    """Reads the rows of one model.

    Args:
        inputs, outputs: of the model.
        settings: limits.
        fetch: how an address is read; None where none may be.
    """

    def __init__(
        self,
        inputs: Mapping[str, InputFacts],
        outputs: Mapping[str, OutputFacts],
        settings: Settings,
        fetch: Fetch | None = None,
    ):
        self.settings, self._fetch = settings, fetch
        self.kinds = {column: "text" for facts in outputs.values() for column in facts.reads}
        self._worded = set(self.kinds)  # a head may tag their words, which a list tells apart
        self.kinds |= {c: facts.kinds.get(c, "text") for facts in inputs.values() for c in facts.columns}
        self.choices = {c: {str(v) for v in values} for f in inputs.values() for c, values in f.choices.items()}

    def row(self, row: Any, field: str, files: Mapping[str, bytes] | None = None) -> Row:
        """A row of a request.

        Args:
            row: column -> cell.
            field: how messages call it.
            files: parts of a multipart request, which cells name as ``{"file": PART}``.

        Raises:
            Problem: what is wrong, with its field.
        """
        if not isinstance(row, dict):
            raise unreadable(field, f"found {_named(row)}, expected an object with a cell per column")
        record: dict[str, Any] = {}
        size, notes = Size(), list[str]()
        for column, value in row.items():
            if column not in self.kinds:
                raise unreadable(
                    f"{field}.{repair_surrogates(column)[:SHOWN]}", f"no such column; {_near(column, self.kinds)}"
                )
            where = f"{field}.{column}"
            if isinstance(value, list) and column in self._worded:
                cell, weight = self._words(value, where)
            else:
                cell, weight = self._cell(value, self.kinds[column], where, files or {})
            if cell is None:
                continue
            record[column], size = cell, size + weight
            known = self.choices.get(column)
            if known and _label(cell) not in known:
                notes.append(f"{where}: training saw no such value; it is read as an unknown one")
        if not record:
            columns = ", ".join(map(repr, self.kinds))
            raise unreadable(field, f"nothing in it: expected a cell for one column at least, of {columns}")
        return Row(record, size, tuple(notes))

    def cell(self, value: Any, column: str, field: str) -> Row:
        """A row of one cell alone, as embeddings ask with."""
        return self.row({column: value}, field) if value is not None else self.row({}, field)

    def _cell(self, value: Any, kind: str, field: str, files: Mapping[str, bytes]) -> tuple[Any, Size]:
        """A cell as the model takes it, None where it is missing; and what it weighs."""
        if value is None or (isinstance(value, str) and not value.strip()):
            return None, Size()
        if kind in MEDIA:
            if isinstance(value, list):
                return self._several(value, kind, field, files)
            content = self._content(value, field, files)
            return content, self._weighed(content, kind, field)
        if kind == "vector":
            return _vector(value, field), Size()
        if isinstance(value, (list, dict)):
            raise unreadable(field, f"found {_named(value)}, expected a {kind}")
        if kind == "text":
            return self._text(value, field)
        return _value(value, kind, field), Size()

    def _several(self, values: list[Any], kind: str, field: str, files: Mapping[str, bytes]) -> tuple[Any, Size]:
        if len(values) > SEVERAL:
            raise Problem(413, f"{field}: {len(values):,} files, over the limit of {SEVERAL}", field)
        cells, size = [], Size()
        for n, value in enumerate(values):
            if value is None or isinstance(value, list):
                raise unreadable(f"{field}[{n}]", f"found {_named(value)}, expected a file")
            cell, weight = self._cell(value, kind, f"{field}[{n}]", files)
            if cell is not None:
                cells.append(cell)
                size += weight
        return cells or None, size

    def _words(self, values: list[Any], field: str) -> tuple[list[str] | None, Size]:
        """The words of a text, one by one."""
        for n, value in enumerate(values):
            if not isinstance(value, str):
                raise unreadable(f"{field}[{n}]", f"found {_named(value)}, expected a word")
        self._text(" ".join(values), field)
        words = [repair_surrogates(value) for value in values]
        return words or None, Size(characters=sum(map(len, words)))

    def _text(self, value: Any, field: str) -> tuple[str, Size]:
        if not isinstance(value, str):
            raise unreadable(field, f"found {_named(value)}, expected a text")
        most = self.settings.max_characters
        if len(value) > most:
            raise Problem(
                413, f"{field}: {len(value):,} characters, over the limit of {most:,} (max_characters)", field
            )
        text = repair_surrogates(value)
        return text, Size(characters=len(text))

    def _content(self, value: Any, field: str, files: Mapping[str, bytes]) -> bytes:
        """The bytes of a file that came along."""
        if isinstance(value, str):
            return _decoded(value, field)
        if isinstance(value, dict) and len(value) == 1:
            ((form, inner),) = value.items()
            if form == "base64" and isinstance(inner, str):
                return _decoded(inner, field)
            if form == "file" and isinstance(inner, str):
                if inner not in files:
                    raise unreadable(field, f"no part {repair_surrogates(inner)[:SHOWN]!r} came with the request")
                return _filled(files[inner], field)
            if form == "url" and isinstance(inner, str):
                if self._fetch is None:
                    raise unreadable(field, "addresses are not fetched here; send the file itself")
                return _filled(self._fetch(inner, field), field)
        raise unreadable(field, f'found {_named(value)}, expected base64, a data URI or {{"base64": "..."}}')

    def _weighed(self, content: bytes, kind: str, field: str) -> Size:
        """What a file weighs by its header.

        Raises:
            Problem: it is none of its kind, or over a limit.
        """
        most = self.settings
        try:
            if kind == "image":
                width, height, _ = picture.describe(content, UNLIMITED)
                if width * height > most.max_pixels:
                    said = f"{width:,} x {height:,} pixels, over the limit of {most.max_pixels:,} (max_pixels)"
                    raise Problem(413, f"{field}: {said}", field)
                return Size(pixels=width * height)
            if kind == "audio":
                seconds, _, _ = sound.describe(content, UNLIMITED)
                if not seconds <= most.max_seconds:
                    said = f"{seconds:,.0f} seconds, over the limit of {most.max_seconds:,g} (max_seconds)"
                    raise Problem(413, f"{field}: {said}", field)
                return Size(seconds=seconds)
        except BadCell as error:
            raise unreadable(field, repair_surrogates(str(error))) from None
        return Size()


def check_count(rows: Collection[Any], settings: Settings, field: str = "rows") -> None:
    """Whether a request has rows, and not too many.

    Raises:
        Problem: none, or more than ``max_items``.
    """
    if not rows:
        raise unreadable(field, "no rows; expected one at least")
    if len(rows) > settings.max_items:
        most = settings.max_items
        raise Problem(413, f"{field}: {len(rows):,} rows, over the limit of {most:,} (max_items)", field)


def _decoded(text: str, field: str) -> bytes:
    head, comma, body = text.partition(",") if text[:5].lower() == "data:" else ("", "", text)
    if comma and not head.lower().endswith(";base64"):
        return _filled(unquote_to_bytes(body), field)
    try:
        content = base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise unreadable(field, "no file in base64; paths and addresses are not opened, send the file itself") from None
    return _filled(content, field)


def _filled(content: bytes, field: str) -> bytes:
    if not content:
        raise unreadable(field, "the file is empty")
    return content


def _vector(value: Any, field: str) -> list[Any]:
    """A list of finite numbers, or of such lists."""
    if isinstance(value, str):  # as forms send it
        try:
            value = json.loads(value, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise unreadable(field, "no list of numbers") from None
    if not isinstance(value, list) or not value:
        raise unreadable(field, f"found {_named(value)}, expected a list of numbers")
    flat = [n for item in value for n in (item if isinstance(item, list) else [item])]
    if len(flat) > NUMBERS:
        raise Problem(413, f"{field}: {len(flat):,} numbers, over the limit of {NUMBERS:,}", field)
    if not all(isinstance(n, (int, float)) and not isinstance(n, bool) and _finite(n) for n in flat):
        raise unreadable(field, "expected a list of finite numbers")
    rows = [item for item in value if isinstance(item, list)]
    if rows and (len(rows) < len(value) or len({len(row) for row in rows}) > 1):
        raise unreadable(field, "expected lists of one length")
    return value


def _value(value: Any, kind: str, field: str) -> Any:
    """A number, date or category."""
    if isinstance(value, str):
        value = repair_surrogates(value)
        if len(value) > 1000:
            raise unreadable(field, f"{len(value):,} characters are no {kind}")
    if kind == "number":
        number = parse_number(value)
        if number is None or not math.isfinite(number):
            raise unreadable(field, f"found {_named(value)}, expected a finite number")
        return number
    if kind == "date" and (isinstance(value, (bool, int, float)) or parse_datetime(value) is None):
        raise unreadable(field, f"found {_named(value)}, expected a date such as 2024-01-31")
    if not isinstance(value, str) and not _finite(value):
        raise unreadable(field, f"found {_named(value)}, expected a {kind}")
    return value


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _label(value: Any) -> str:
    """One name for 3, 3.0 and "3", as the model has."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _near(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name[:100], known, 1)
    return f"did you mean {close[0]!r}?" if close else f"its columns: {', '.join(map(repr, known))}"


def _named(value: Any) -> str:
    """What a value is, in a few words."""
    kinds = {bool: "a boolean", int: "a whole number", float: "a number", str: "a text", list: "a list"}
    return "null" if value is None else kinds.get(type(value), "an object")
