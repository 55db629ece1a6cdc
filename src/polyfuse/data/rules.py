"""The rules that tell a column's modality from its distinct present values, each with its reason in words.

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
from polyfuse.data.cells.source import digest
from polyfuse.data.plain import NUMBER

FEW = 20
"""Up to this many different values, short texts are categories and whole numbers in an output are classes."""
SENTENCE = 4
"""From this many words in the middle value on, a column reads like text, however often its values repeat."""

CODE_NAMES = frozenset(("zip", "zipcode", "postcode", "postal", "plz", "cep", "code", "codes", "邮编", "邮政编码"))
"""Words in column names under which whole numbers are codes: 10001 is not half of 20002."""

WRITTEN_TOGETHER = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")


@dataclass(frozen=True)
class Glance:
    """One column as the rules see it.

    Args:
        present: the cells that are not missing.
        rows: rows of the table.
        values: some of the distinct cells, evenly spread.
        cells: key -> cell, each distinct cell once.
    """

    name: str
    present: pd.Series
    rows: int
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
        return {key(cell): cell for cell in reversed(present.tolist())}


def key(cell: Any) -> Any:
    """Something hashable that is equal for equal cells."""
    if isinstance(cell, dict):
        return (cell.get("bytes"), cell.get("path")) if cell.get("array") is None else key(np.asarray(cell["array"]))
    if isinstance(cell, np.ndarray):
        return repr(cell.tolist()) if cell.dtype == object else digest(cell)
    if isinstance(cell, (list, tuple)):
        cell = tuple(cell)
    try:
        hash(cell)
    except TypeError:
        return repr(cell) if isinstance(cell, (tuple, set)) else id(cell)
    return cell


Verdict: TypeAlias = tuple[str, str] | None
Rule: TypeAlias = Callable[[Glance], Verdict]

KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((bool, np.bool_), "flag"),
    ((str, Path), "words"),
    ((numbers.Real, decimal.Decimal), "number"),
    ((datetime.date, np.datetime64), "date"),
    ((np.ndarray, list, tuple), "several"),
    ((bytes, bytearray, memoryview, dict), "content"),
)


def kind(glance: Glance) -> str:
    """What sort of Python object most cells are, the first question."""
    kinds = Counter(next((kind for types, kind in KINDS if isinstance(cell, types)), "other") for cell in glance.values)
    return kinds.most_common(1)[0][0]


def verdict(glance: Glance) -> tuple[str, str]:
    """The modality of a column and the reason, by the first rule that knows."""
    return next(found for rule in RULES[kind(glance)] if (found := rule(glance)))


def _declared(glance: Glance) -> Verdict:
    return ("category", "categorical in pandas") if isinstance(glance.present.dtype, pd.CategoricalDtype) else None


def _paths(glance: Glance) -> Verdict:
    modality, count = Counter(media.medium(cell, glance.root) for cell in glance.values).most_common(1)[0]
    return (modality, f"paths of {modality} files") if modality and count >= 0.8 * len(glance.values) else None


def _contents(glance: Glance) -> Verdict:
    kinds = Counter(modality for cell in glance.values if (modality := media.medium(cell, glance.root)))
    if kinds:
        modality = kinds.most_common(1)[0][0]
        return modality, f"{modality} contents in the table"
    return "unknown", f"{type(glance.values[0]).__name__} of no known image, sound or video format"


def _several(glance: Glance) -> Verdict:
    """Lists and arrays: texts, pixels, or ready-made features."""
    if all(isinstance(item, str) for cell in glance.values for item in cell):
        return "text", f"lists of texts, {_middle([len(cell) for cell in glance.values]):.0f} each"
    shapes = [found for cell in glance.values if (found := number_shape(cell))]
    if 2 * len(shapes) <= len(glance.values):
        return "unknown", "lists of mixed things"
    ranks, (dtype, shape) = {len(shape) for _, shape in shapes}, shapes[0]
    if (ranks == {3} and shape[-1] in (1, 3, 4)) or (ranks == {2} and dtype == np.uint8):
        return "image", f"arrays of pixels, {dtype} {shape}"
    if ranks == {4}:
        return "video", f"arrays of pictures, {dtype} {shape}"
    if ranks == {1} and len({shape for _, shape in shapes}) == 1:
        return "vector", f"{shape[0]} numbers per row"
    if ranks <= {1, 2}:
        return "sequence", f"sequences of numbers of differing length, {dtype} {shape} first"
    return "unknown", f"arrays of {sorted(ranks)} axes"


def number_shape(cell: Any) -> tuple[np.dtype, tuple[int, ...]] | None:
    """Type and shape of a list or array of numbers; None for anything else."""
    try:
        array = np.asarray(cell)
    except ValueError:  # lists of differing length
        return None
    return (array.dtype, array.shape) if array.dtype.kind in "iufb" and array.ndim else None


def _date(glance: Glance) -> Verdict:
    return "date", f"dates, {min(glance.values, key=str)} to {max(glance.values, key=str)}"


def _written_dates(glance: Glance) -> Verdict:
    fit = sum(is_date(cell) for cell in glance.values)
    return ("date", "dates as year-month-day") if fit >= 0.95 * len(glance.values) else None


def is_date(cell: Any) -> bool:
    """True for a date, and for text that says one as ISO 8601 does; other orders of day and month are guesswork."""
    if not isinstance(cell, str):
        return isinstance(cell, (datetime.date, np.datetime64))
    try:
        return "-" in cell and bool(datetime.datetime.fromisoformat(cell.strip()))
    except ValueError:
        return False


def _written_numbers(glance: Glance) -> Verdict:
    texts = [str(cell).strip() for cell in glance.values]
    if all(re.fullmatch(NUMBER, text) for text in texts):
        return "number", f"numbers written as text, {glance.distinct:,} distinct"
    if all(re.fullmatch("[0-9]+", text) for text in texts):
        return "category", f"digits with leading zeros: a code, {glance.distinct:,} distinct"
    return None


def _prose(glance: Glance) -> Verdict:
    """Text or category: by words per value, and by how often values repeat."""
    words = _middle([_word_count(str(cell)) for cell in glance.values])
    count, repeats = len(glance.present), len(glance.present) / glance.distinct
    if words >= SENTENCE:
        return "text", f"sentences, {words:.0f} words in the middle"
    few = glance.distinct <= FEW and (repeats >= 2 or glance.distinct <= 2)
    if few or repeats >= (2 if words <= 1 else 10):
        return "category", f"{glance.distinct:,} distinct values among {count:,}"
    return "text", f"short texts that seldom repeat, {glance.distinct:,} distinct among {count:,}"


def _middle(counts: list[int]) -> float:
    return float(np.median(counts))


def _word_count(text: str) -> int:
    """Words between blanks; two characters count as one where words are written together."""
    return len(text.split()) + len(WRITTEN_TOGETHER.findall(text)) // 2


def _number(glance: Glance) -> Verdict:
    values = pd.to_numeric(glance.present, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    repeats = len(values) / glance.distinct
    if glance.distinct <= 2 and (set(glance.cells) <= {0, 1} or repeats >= 5):
        return "category", f"{glance.distinct} distinct numbers"
    if not are_whole(values):
        return "number", f"numbers, {glance.distinct:,} distinct"
    if glance.words & CODE_NAMES and repeats >= 2:
        return "category", f"whole numbers under the name of a code, {glance.distinct:,} distinct"
    hint = " (name it category if they are codes)" if glance.distinct <= FEW else ""
    return "number", f"whole numbers, {glance.distinct:,} distinct{hint}"


def are_whole(values: np.ndarray) -> bool:
    """True when no finite value has a fraction."""
    finite = values[np.isfinite(values)]
    return bool((finite == np.round(finite)).all())


RULES: dict[str, tuple[Rule, ...]] = {
    "flag": (lambda _: ("category", "true or false"),),
    "words": (_paths, _declared, _written_dates, _written_numbers, _prose),
    "number": (_declared, _number),
    "date": (_date,),
    "several": (_several,),
    "content": (_contents,),
    "other": (_contents,),
}
