"""Rules that infer a column's modality from its distinct present values, each with a reason in words.

The first rule that knows decides: media, then lists and arrays, dates, numbers, and at last words, which are categories
when they repeat and text when they read like it.
"""

from __future__ import annotations

import datetime
import decimal
import numbers
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from polyfuse.data import media
from polyfuse.data.cells.dates import parse_date
from polyfuse.data.cells.literals import decode_embedded
from polyfuse.data.cells.numbers import parse_number
from polyfuse.data.cells.source import content_digest, is_missing
from polyfuse.data.cells.vectors import as_array
from polyfuse.data.media_lists import split_media

FEW = 20
"""Up to this many different values, short texts are categories and whole numbers in an output are classes."""
SENTENCE = 4
"""From this many words in the middle value on, a column reads like text, however often its values repeat."""

MOST = 0.95
"""Share of the values that must be dates, numbers or arrays; the rest is broken."""
MANY_NUMBERS = 8

CODE_NAMES = frozenset(("zip", "zipcode", "postcode", "postal", "plz", "cep", "code", "codes", "邮编", "邮政编码"))
"""Words in column names under which whole numbers are codes: 10001 is not half of 20002."""

WRITTEN_TOGETHER = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")


@dataclass(frozen=True)
class ColumnSample:
    """A column with a sample of its distinct values, as the rules read it.

    Args:
        present: the cells that are not missing.
        rows: rows of the table.
        kind: what sort of Python object most cells are, the first question.
        values: some of the distinct cells, evenly spread, all of that kind.
        cells: key -> cell, each distinct cell once.
    """

    name: str
    present: pd.Series
    rows: int
    kind: str
    values: list[Any]
    cells: dict[Any, Any]
    root: Path | None

    @property
    def distinct(self) -> int:
        return len(self.cells)

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of the column's name."""
        return frozenset(w.lower() for w in re.findall(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])", self.name))


def distinct_cells(present: pd.Series) -> dict[Any, Any]:
    """Key -> cell of each different cell, in order of appearance."""
    try:
        return {cell: cell for cell in present.unique()}
    except TypeError:
        cells: dict[Any, Any] = {}
        for cell in present:
            cells.setdefault(cell_key(cell), cell)
        return cells


def cell_key(cell: Any) -> Any:
    """A hashable key that is equal for equal cells."""
    if isinstance(cell, dict):
        return cell_key(
            (cell.get("bytes"), cell.get("path")) if cell.get("array") is None else np.asarray(cell["array"])
        )
    if isinstance(cell, np.ndarray):
        return repr(cell.tolist()) if cell.dtype == object else content_digest(cell)
    if isinstance(cell, (set, frozenset)):
        return frozenset(map(cell_key, cell))
    if isinstance(cell, (list, tuple)):
        cell = tuple(cell)
    try:
        hash(cell)
    except TypeError:
        return tuple(map(cell_key, cell)) if isinstance(cell, tuple) else id(cell)
    return cell


Inference: TypeAlias = tuple[str, str] | None
Rule: TypeAlias = Callable[[ColumnSample], Inference]

KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((bool, np.bool_), "flag"),
    ((str, Path), "words"),
    ((numbers.Real, decimal.Decimal), "number"),
    ((datetime.date, np.datetime64, pd.Period), "date"),
    ((np.ndarray, list, tuple, set, frozenset), "several"),
    ((pd.Interval,), "interval"),
    ((bytes, bytearray, memoryview, dict), "content"),
)


def most_common_kind(cells: list[Any]) -> tuple[str, list[Any]]:
    """The most common kind of Python object among cells, and the cells of that kind."""
    kinds = [next((kind for types, kind in KINDS if isinstance(cell, types)), "other") for cell in cells]
    usual = Counter(kinds).most_common(1)[0][0]
    return usual, [cell for kind, cell in zip(kinds, cells, strict=True) if kind == usual]


def infer_modality(glance: ColumnSample) -> tuple[str, str]:
    """Infer the modality of a column and the reason, by the first rule that applies."""
    return next(found for rule in RULES[glance.kind] if (found := rule(glance)))


def _declared_category(glance: ColumnSample) -> Inference:
    return ("category", "categorical in pandas") if isinstance(glance.present.dtype, pd.CategoricalDtype) else None


def _paths(glance: ColumnSample) -> Inference:
    items = [split_media(cell) for cell in glance.values]
    first = [next((item for item in cell if not is_missing(item)), None) for cell in items]
    modality, count = Counter(media.modality_of_media(item, glance.root) for item in first).most_common(1)[0]
    if modality and count >= 0.8 * len(items):
        kept = all(isinstance(item, str) and decode_embedded(item) is not None for item in first)
        what = f"{modality} files as base64" if kept else f"paths of {modality} files"
        return modality, what + _describe_count(items)
    endings = Counter(end for item in first if (end := media.unsupported_ending(item)))
    if endings.total() >= 0.8 * len(items):
        end = endings.most_common(1)[0][0]
        return "unknown", f"paths of {end} files: {media.UNREAD[end]}"
    if sum(str(item).lower().endswith(".npy") for item in first) >= 0.8 * len(items):
        return "unknown", "paths of .npy files that are no pictures: put the arrays themselves into the cells"
    return None


def _describe_count(items: list[list[Any]]) -> str:
    """Describe how many media cells hold, where some hold several; else empty."""
    most = max(map(len, items))
    return f", up to {most} in a cell" if most > 1 else ""


def _listed_media(glance: ColumnSample) -> Inference:
    """Lists of pictures, paths or records in which there is a file."""
    items = [split_media(cell) for cell in glance.values]
    several = [cell for value, cell in zip(glance.values, items, strict=True) if cell[0] is not value]
    first = [next((item for item in cell if not is_missing(item)), None) for cell in several]
    modality, count = (
        Counter(media.modality_of_media(i, glance.root) for i in first).most_common(1)[0] if first else (None, 0)
    )
    if modality and count >= 0.8 * len(items):
        return modality, f"lists of {modality} files or contents{_describe_count(items)}"
    return None


def _contents(glance: ColumnSample) -> Inference:
    kinds = Counter(modality for cell in glance.values if (modality := media.modality_of_media(cell, glance.root)))
    if kinds:
        modality = kinds.most_common(1)[0][0]
        return modality, f"{modality} contents in the table"
    if all(isinstance(cell, bytes) and _is_utf8(cell) for cell in glance.values):
        return "text", "texts as bytes"
    return "unknown", f"{type(glance.values[0]).__name__} of no known image, sound or video format"


def _is_utf8(content: bytes) -> bool:
    try:
        return content.decode("utf8").isprintable()
    except UnicodeDecodeError:
        return False


def _lists_and_arrays(glance: ColumnSample) -> Inference:
    """Lists and arrays: texts, pixels, or ready-made features."""
    if all(isinstance(item, str) for cell in glance.values for item in cell):
        kind = "sets" if isinstance(glance.values[0], (set, frozenset)) else "lists"
        return "text", f"{kind} of texts, {_median([len(cell) for cell in glance.values]):.0f} each"
    shapes = [found for cell in glance.values if (found := number_shape(cell))]
    if 2 * len(shapes) <= len(glance.values):
        return "unknown", "lists of mixed things"
    rank = Counter(len(shape) for _, shape in shapes).most_common(1)[0][0]
    dtype, shape = next(found for found in shapes if len(found[1]) == rank)
    if media.has_channels(shape) or (rank == 2 and dtype == np.uint8):
        return "image", f"arrays of pixels, {dtype} {shape}"
    if rank == 4:
        return "video", f"arrays of pictures, {dtype} {shape}"
    if rank == 2:
        return "sequence", f"{shape[1]} numbers per step, {shape[0]} steps in the first row"
    (width, count) = Counter(shape[-1] for _, shape in shapes).most_common(1)[0]
    if rank == 1 and (count >= MOST * len(glance.values) or count == len(shapes)):
        return "vector", f"{width} numbers per row"
    return "unknown", f"arrays of {rank} axes and differing length; a sequence has two: time, features"


def number_shape(cell: Any) -> tuple[np.dtype, tuple[int, ...]] | None:
    """Type and shape of a list or array of numbers; None for anything else."""
    try:
        array = np.asarray(cell)
    except ValueError:  # lists of differing length
        return None
    return (array.dtype, array.shape) if array.dtype.kind in "iufb" and array.ndim else None


def _date(glance: ColumnSample) -> Inference:
    return "date", f"dates, {min(glance.values, key=str)} to {max(glance.values, key=str)}"


def _dates_as_text(glance: ColumnSample) -> Inference:
    dates = [isinstance(cell, str) and parse_date(cell) is not None and not cell.isdigit() for cell in glance.values]
    return ("date", "dates as text") if sum(dates) >= MOST * len(dates) else None


def _numbers_as_text(glance: ColumnSample) -> Inference:
    texts = [str(cell).strip() for cell in glance.values]
    if all(re.fullmatch("[0-9]+", text) for text in texts) and any(re.match("0[0-9]", text) for text in texts):
        return "category", f"digits with leading zeros: a code, {glance.distinct:,} distinct"
    amounts = [parse_number(text) is not None and not re.match(r"[+-]?(0\d|\d{16})", text) for text in texts]
    return ("number", f"numbers as text, {glance.distinct:,} distinct") if sum(amounts) >= MOST * len(texts) else None


def _arrays_as_text(glance: ColumnSample) -> Inference:
    """``[0.1, 0.2]`` or, without brackets, more numbers than anybody writes for anything else."""
    texts = [str(cell).strip() for cell in glance.values]
    for axes, modality in ((1, "vector"), (2, "sequence")):
        arrays = [(text, array) for text in texts if isinstance(array := as_array(text, axes), np.ndarray)]
        widths = [array.shape[-1] for text, array in arrays if text.startswith("[") or array.size >= MANY_NUMBERS]
        if len(widths) >= MOST * len(texts):
            return modality, f"arrays as text, {widths[0]} numbers {'each' if axes == 1 else 'per step'}"
    return None


def _text_or_category(glance: ColumnSample) -> Inference:
    """Text or category: by words per value, and by how often values repeat."""
    words = _median([word_count(str(cell)) for cell in glance.values])
    count, repeats = len(glance.present), len(glance.present) / glance.distinct
    if words >= SENTENCE:
        return "text", f"sentences, {words:.0f} words in the middle"
    few = glance.distinct <= FEW and (repeats >= 2 or glance.distinct <= 2)
    if few or repeats >= (2 if words <= 1 else 10):
        return "category", f"{glance.distinct:,} distinct values among {count:,}"
    return "text", f"short texts that seldom repeat, {glance.distinct:,} distinct among {count:,}"


def _median(counts: list[int]) -> float:
    return float(np.median(counts))


def word_count(text: str) -> int:
    """Words between blanks; two characters count as one where words are written together."""
    return len(text.split()) + len(WRITTEN_TOGETHER.findall(text)) // 2


def _number(glance: ColumnSample) -> Inference:
    values = as_numbers(glance.present)
    repeats = len(values) / glance.distinct
    if glance.distinct <= 2 and (set(glance.cells) <= {0, 1} or repeats >= 5):
        return "category", f"{glance.distinct} distinct numbers"
    if not are_whole(values):
        return "number", f"numbers, {glance.distinct:,} distinct"
    if glance.words & CODE_NAMES and repeats >= 2:
        return "category", f"whole numbers under the name of a code, {glance.distinct:,} distinct"
    hint = " (name it category if they are codes)" if glance.distinct <= FEW else ""
    return "number", f"whole numbers, {glance.distinct:,} distinct{hint}"


def as_numbers(present: pd.Series) -> np.ndarray:
    """Cells as floats, NaN where one is no number."""
    if pd.api.types.is_numeric_dtype(present):
        return present.to_numpy(dtype=float, na_value=np.nan)
    return np.array([np.nan if (number := parse_number(cell)) is None else number for cell in present], dtype=float)


def are_whole(values: np.ndarray) -> bool:
    """True when no finite value has a fraction."""
    finite = values[np.isfinite(values)]
    return bool((finite == np.round(finite)).all())


RULES: dict[str, tuple[Rule, ...]] = {
    "flag": (lambda _: ("category", "true or false"),),
    "interval": (lambda glance: ("category", f"intervals, {glance.distinct:,} distinct"),),
    "words": (_paths, _declared_category, _dates_as_text, _numbers_as_text, _arrays_as_text, _text_or_category),
    "number": (_declared_category, _number),
    "date": (_declared_category, _date),
    "several": (_listed_media, _lists_and_arrays),
    "content": (_contents,),
    "other": (_declared_category, _contents),
}
