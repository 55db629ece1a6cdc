"""Target transforms: classes, sets of labels and numbers as arrays, and back in their own labels and units."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from polyfuse.data.cells.literals import parse_list
from polyfuse.data.cells.numbers import parse_number
from polyfuse.data.cells.source import BadCell, Limits, UnseenLabel


def to_json_label(value: Any) -> Any:
    """Convert a label to what JSON keeps: NumPy scalars become Python's, and 3.0 becomes 3."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (bool, int, float)) else str(value).strip()


def _list_classes(classes: Sequence[Any]) -> str:
    shown = ", ".join(map(repr, classes[:10]))
    return f"{shown}, and {len(classes) - 10:,} more" if len(classes) > 10 else shown


_INTERVAL = re.compile(r"[\[(]\s*([-+.\deE]+|-inf)\s*,\s*([-+.\deE]+|inf)\s*[\])]")
FLAGS = {"true": True, "false": False}


def _sort_labels(labels: Mapping[Any, int]) -> list[Any]:
    """Numbers by size, then words by letters; intervals such as ``(5, 10]`` by where they begin."""
    bounds = {label: _INTERVAL.fullmatch(label) for label in labels if isinstance(label, str)}
    if bounds and all(bounds.values()) and len(bounds) == len(labels):
        return sorted(labels, key=lambda label: tuple(map(float, bounds[label].groups())))  # type: ignore[union-attr]
    return sorted(labels, key=lambda label: (isinstance(label, str), label))


def as_labels(cell: Any) -> list[Any] | None:
    """The members of a list, set or array of labels, or of a text that was written from one; None for anything else.

    A text is one only where its members are texts, whole numbers or flags.
    """
    if isinstance(cell, (set, frozenset)):
        return sorted(cell, key=str)
    if isinstance(cell, np.ndarray):
        return cell.tolist() if cell.ndim == 1 else None
    if isinstance(cell, (list, tuple)):
        return [label.item() if isinstance(label, np.generic) else label for label in cell]
    members = parse_list(cell) if isinstance(cell, str) else None
    return members if members is not None and all(isinstance(label, (str, int)) for label in members) else None


def are_multi_hot(sets: Sequence[Sequence[Any]]) -> bool:
    """Whether lists are flags, one per label: all of one length, of 0 and 1 alone, some coming twice in a list."""
    if len({len(cell) for cell in sets}) != 1 or len(sets[0]) < 2:
        return False
    flags = [flag for cell in sets for flag in cell]
    numbers = all(isinstance(flag, (bool, int, float, np.number, np.bool_)) and flag in (0, 1) for flag in flags)
    return numbers and (len(sets[0]) > 2 or any(cell[0] == cell[1] for cell in sets))


class _Classes:
    """Labels seen in training, in a fixed order, and how often each was seen."""

    media = joint = False

    def __init__(self) -> None:
        self.classes: list[Any] = []
        self.counts: list[int] = []
        self._place: dict[Any, int] = {}

    def _learn(self, labels: Counter) -> None:
        self.classes = _sort_labels(labels)
        self.counts = [labels[label] for label in self.classes]
        self._index()

    def _index(self) -> None:
        # JSON and Python agree that True == 1, so the type is part of the key
        self._place = {(isinstance(label, bool), label): n for n, label in enumerate(self.classes)}

    def place(self, label: Any) -> int | None:
        """Number of a label's class, or None."""
        label = to_json_label(label)
        found = self._place.get((isinstance(label, bool), label))
        if found is None and (flag := _flag(label)) is not None:  # true, "True", 1 and "1" are one answer
            return next((n for (_, known), n in self._place.items() if _flag(known) is flag), None)
        if found is None and isinstance(label, (bool, int, float)):  # a table of text has "3" where another has 3
            return self._place.get((False, str(label)))
        if found is None and isinstance(label, str):
            return self._place.get((False, _as_number(label)))
        return found

    def facts(self) -> dict[str, Any]:
        """``classes`` and their training ``counts``."""
        return {"classes": self.classes, "counts": self.counts}

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {"classes": self.classes, "counts": self.counts}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.classes, self.counts = list(state["classes"]), list(state["counts"])
        self._index()

    def _unseen(self, label: Any) -> UnseenLabel:
        return UnseenLabel(
            f"label {to_json_label(label)!r} was not seen in training; known: {_list_classes(self.classes)}"
        )


def _flag(label: Any) -> bool | None:
    """The truth that a label may stand for."""
    if isinstance(label, (bool, int, float)):
        return bool(label) if label in (0, 1) else None
    return FLAGS.get(label.lower(), {"1": True, "0": False}.get(label))


def _as_number(text: str) -> Any:
    try:
        return to_json_label(float(text))
    except ValueError:
        return text


class Category(_Classes):
    """One label per cell (``target.category``). Field ``target`` (U,) int64."""

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn the classes.

        Raises:
            ValueError: all training cells have the same label.
        """
        self._learn(Counter(map(to_json_label, cells)))
        if len(self.classes) < 2:
            name = next(iter(columns))
            raise ValueError(
                f"output {name!r}: every training row has the label {self.classes[0]!r}; a category needs two at "
                "least. Add rows of another label, or change the split."
            )

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:  # noqa: ARG002
        """Class numbers, or the error that names an unseen label."""
        places = [self.place(cell) for cell in cells]
        return [self._unseen(c) if p is None else np.array(p, np.int64) for c, p in zip(cells, places, strict=True)]

    def decode(self, cells: Sequence[np.ndarray]) -> list[Any]:
        """Arrays back to labels."""
        return [self.classes[int(cell)] for cell in cells]

    def blank(self) -> np.ndarray:
        """Stands for no target."""
        return np.array(0, np.int64)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``target`` (U,) int64."""
        return {"target": np.stack(cells)}


class Ordinal(Category):
    """One label per cell, of an ordered scale (``target.ordinal``). Field ``target`` (U,) int64, the lowest being 0.

    Args:
        order: labels from the lowest to the highest; where it is left out, labels are numbers and go by these.
    """

    def __init__(self, order: Sequence[Any] | None = None):
        super().__init__()
        self.order = None if order is None else [to_json_label(label) for label in order]

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:
        """Learn the classes, in order.

        Raises:
            ValueError: labels without an order or outside of the one given, or all training cells alike.
        """
        super().fit(cells, columns, limits)
        name, seen = next(iter(columns)), dict(zip(self.classes, self.counts, strict=True))
        self.classes = sort_ordinal(name, self.classes) if self.order is None else check_order(name, self.order)
        self._index()
        self.counts = [0] * len(self.classes)
        for label, count in seen.items():
            place = self.place(label)
            if place is None:
                raise ValueError(
                    f"output {name!r}: the label {label!r} is not in its order ({_list_classes(self.classes)}); "
                    f"add it to outputs.{name}.head.order where it belongs, or correct the cells"
                )
            self.counts[place] += count


def sort_ordinal(name: str, labels: Sequence[Any]) -> list[Any]:
    """Labels that are numbers, or numbers as text, from the lowest to the highest.

    Raises:
        ValueError: labels whose order nobody said.
    """
    values = {label: parse_number(label) for label in labels}
    words = [label for label, value in values.items() if value is None or not math.isfinite(value)]
    if words:
        raise ValueError(
            f"output {name!r} is to be ordinal, and nothing says the order of {_list_classes(words)}: give it with "
            f"outputs.{name}.head.order=[LOWEST, ..., HIGHEST], or as an ordered categorical of pandas"
        )
    return sorted(labels, key=lambda label: values[label])  # type: ignore[arg-type, return-value]


def check_order(name: str, order: Sequence[Any]) -> list[Any]:
    """The labels of an order that was given.

    Raises:
        ValueError: a label that stands twice, or fewer than two.
    """
    twice = [label for label, count in Counter(order).items() if count > 1]
    if twice or len(order) < 2:
        why = f"{twice[0]!r} stands there twice" if twice else f"found {len(order)}"
        raise ValueError(f"outputs.{name}.head.order: expected two different labels or more, {why}")
    return list(order)


class Labels(_Classes):
    """A set of labels per cell (``target.labels``): a list, a set, either written as text, or text with a separator.

    Field ``target`` (U, C) float32. Lists of 0 and 1, all of one length, are flags: labels are their places, from 0.

    Args:
        separator: between labels of a text; ``auto`` takes the first of ``|``, ``;`` and ``,`` that occurs in training.
    """

    def __init__(self, separator: str = "auto"):
        super().__init__()
        self.separator = separator
        self.flags = 0  # how many a cell holds, where cells are flags per label

    def _split(self, cell: Any) -> list[Any]:
        members = as_labels(cell)
        if self.flags and members is not None and len(members) == self.flags:
            return [place for place, flag in enumerate(members) if flag]
        if members is not None:
            return [to_json_label(label) for label in members]
        return [to_json_label(label) for label in str(cell).split(self.separator) if label.strip()]

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn the separator and the classes.

        Raises:
            ValueError: no cell has any label.
        """
        if self.separator == "auto":
            texts = [cell for cell in cells if isinstance(cell, str) and as_labels(cell) is None]
            self.separator = next((s for s in "|;," if any(s in text for text in texts)), "|")
        sets = [as_labels(cell) for cell in cells]
        lists = [members for members in sets if members is not None]
        self.flags = len(lists[0]) if len(lists) == len(cells) and are_multi_hot(lists) else 0
        self._learn(Counter(label for cell in cells for label in set(self._split(cell))))
        if not self.classes:
            raise ValueError(f"output {next(iter(columns))!r}: no training row has any label")

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {**super().state(), "separator": self.separator, "flags": self.flags}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        super().restore(state)
        self.separator, self.flags = state["separator"], state.get("flags", 0)

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:  # noqa: ARG002
        """Multi-hot vectors, or the error that names an unseen label."""
        return [self._encode(self._split(cell)) for cell in cells]

    def _encode(self, labels: list[Any]) -> np.ndarray | BadCell:
        hot = np.zeros(len(self.classes), np.float32)
        for label in labels:
            place = self.place(label)
            if place is None:
                return self._unseen(label)
            hot[place] = 1
        return hot

    def decode(self, cells: Sequence[np.ndarray]) -> list[list[Any]]:
        """Arrays back to lists of labels."""
        return [[self.classes[n] for n in np.flatnonzero(cell)] for cell in cells]

    def blank(self) -> np.ndarray:
        """Stands for no target."""
        return np.zeros(len(self.classes), np.float32)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``target`` (U, C) float32."""
        return {"target": np.stack(cells)}


Scale = Callable[[Any], Any]
LOGS: dict[str, tuple[Scale, Scale]] = {
    "none": (lambda x: x, lambda x: x),
    "log": (np.log, np.exp),
    "log1p": (np.log1p, np.expm1),
}


GULF = 10.0  # times as far from the middle as all other numbers: an outlier
MOST_OUTLIERS = 0.01  # share of the numbers; three of few numbers, and never more than a tenth
LARGEST = 1e100  # whose square is still a number
COARSE = 1000  # steps of double precision that must lie between the numbers of an output


class Number:
    """A number per cell, standardised, on a log scale where that fits better (``target.number``).

    A few numbers with a gulf between them and all others are slips of the pen, which would leave no difference between
    the others: the scale is theirs, and an outlier is learnt as if it stood at their edge. ``encode`` and ``decode``
    leave it as it is, so that it is judged as it is.

    Field ``target`` (U,) float32.

    Args:
        scale: ``auto`` takes a log scale for positive targets that it makes less skewed; ``linear`` or ``log``.
    """

    media = joint = False

    def __init__(self, scale: str = "auto"):
        if scale not in ("auto", "linear", "log"):
            raise ValueError(f"scale: expected auto, linear or log, found {scale!r}")
        self.scale, self.log = scale, "none"
        self.centre, self.spread, self.bounds = 0.0, 1.0, (0.0, 0.0)
        self.outliers = 0
        self.notes: list[str] = []

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn scale, centre and spread.

        Raises:
            ValueError: no numbers, all the same, a log scale asked of negative numbers, or numbers that double
                precision cannot tell apart.
        """
        name = next(iter(columns))
        parsed = [parse_number(cell) for cell in cells]
        values = np.array([value for value in parsed if value is not None and math.isfinite(value)])
        if not len(values):
            raise ValueError(f"output {name!r}: no training row has a number; name another head, such as category")
        _refuse_coarse(values, cells, name)
        if np.ptp(values) == 0:
            raise ValueError(f"output {name!r}: every training row has the number {values[0]:g}; nothing to learn")
        self.log = self._choose(values, values, name)
        far = find_outliers(LOGS[self.log][0](values))
        usual = values[~far]
        self.log = self._choose(values, usual, name)
        self._say_outliers(values[far], usual, name)
        scaled = LOGS[self.log][0](usual)
        self.centre, self.spread = float(scaled.mean()), float(scaled.std())
        if not self.spread:
            raise ValueError(f"output {name!r}: numbers up to {usual.max():g} are too small to learn; multiply them")
        standard = (scaled - self.centre) / self.spread
        self.bounds = float(standard.min()), float(standard.max())

    def _say_outliers(self, far: np.ndarray, usual: np.ndarray, name: str) -> None:
        self.outliers = len(far)
        listed = ", ".join(f"{value:g}" for value in sorted(set(far.tolist()), key=abs, reverse=True)[:5])
        self.notes = [
            f"output {name!r}: {len(far):,} of {len(far) + len(usual):,} training numbers ({listed}) lie far from all "
            f"others ({usual.min():g} to {usual.max():g}) and are learnt as if they stood at the edge of these; "
            "correct them, or leave these rows out"
        ] * bool(len(far))

    def _choose(self, values: np.ndarray, usual: np.ndarray, name: str) -> str:
        """The scale on which the usual ones of some numbers are less skewed, of those that all can have."""
        if self.scale == "linear" or (self.scale == "auto" and values.min() < 0):
            return "none"
        if values.min() < 0:
            raise ValueError(f"output {name!r}: a log scale needs numbers of 0 and above, found {values.min():g}")
        log = "log" if values.min() > 0 else "log1p"
        with np.errstate(over="ignore", invalid="ignore"):  # of outliers, which are told apart next
            better = abs(_skewness(LOGS[log][0](usual))) < abs(_skewness(usual))
        return log if self.scale == "log" or better else "none"

    def facts(self) -> dict[str, Any]:
        """``centre`` and ``spread`` on the scale that ``log`` names (none, log, log1p), and standardised ``bounds``."""
        return {"centre": self.centre, "spread": self.spread, "log": self.log, "bounds": self.bounds}

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {**self.facts(), "bounds": list(self.bounds), "outliers": self.outliers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.centre, self.spread, self.log = state["centre"], state["spread"], state["log"]
        self.bounds = (state["bounds"][0], state["bounds"][1])
        self.outliers = state.get("outliers", 0)

    def encode(self, cells: Sequence[Any], limits: Limits) -> list[np.ndarray | BadCell]:  # noqa: ARG002
        """Standardised numbers."""
        return [self._encode(cell) for cell in cells]

    def _encode(self, cell: Any) -> np.ndarray | BadCell:
        value = parse_number(cell)
        if value is None or not math.isfinite(value):
            return BadCell(f"{cell!r} is not a finite number")
        if self.log != "none" and value <= (0 if self.log == "log" else -1):
            return BadCell(f"{value:g} is not above 0, and the output was learnt on a log scale; set head.scale=linear")
        return np.array((LOGS[self.log][0](value) - self.centre) / self.spread, np.float64)

    def decode(self, cells: Sequence[np.ndarray]) -> list[float]:
        """Arrays back to original units."""
        values = np.array([float(cell) for cell in cells]) * self.spread + self.centre
        return [float(value) for value in LOGS[self.log][1](values)]

    def blank(self) -> np.ndarray:
        """Stands for no target."""
        return np.array(0.0)

    def collate(self, cells: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """``target`` (U,) float32; where training had outliers, no further out than its other numbers."""
        values = np.stack(cells)
        return {"target": (values.clip(*self.bounds) if self.outliers else values).astype(np.float32)}


def find_outliers(values: np.ndarray) -> np.ndarray:
    """Mark outliers: True for the few numbers that lie ``GULF`` times as far from the median as all others."""
    with np.errstate(over="ignore"):
        distance = np.abs(values - np.median(values))
    order = np.argsort(distance, kind="stable")
    few = min(max(3, int(MOST_OUTLIERS * len(values))), len(values) // 10)
    for at in range(len(values) - few, len(values)):
        if 0 < distance[order[at - 1]] < distance[order[at]] / GULF:
            return np.isin(np.arange(len(values)), order[at:])
    return np.zeros(len(values), bool)


def _refuse_coarse(values: np.ndarray, cells: Sequence[Any], name: str) -> None:
    """Raises ValueError for numbers so large, or so near to each other, that double precision loses them."""
    largest = float(np.abs(values).max())
    usual = values[~find_outliers(values)]
    if largest > LARGEST and np.abs(usual).max() > LARGEST:
        raise ValueError(
            f"output {name!r}: numbers up to {largest:g} are too large to learn; divide them by {largest:g}"
        )
    middle = float(np.median(usual))
    near = np.ptp(usual) < COARSE * np.spacing(abs(middle))
    if near and len(set(map(_to_exact_number, cells))) > 1:
        raise ValueError(
            f"output {name!r}: its numbers lie around {middle:g} and differ by less than double precision can tell; "
            f"subtract {middle:g} from the column, or name the head category"
        )


def _to_exact_number(cell: Any) -> Any:
    """A cell's number without loss where it is whole."""
    try:
        return int(str(cell))
    except ValueError:
        return parse_number(cell)


def _skewness(values: np.ndarray) -> float:
    spread = values.std()
    return float((((values - values.mean()) / spread) ** 3).mean()) if spread else 0.0
