"""What outputs learn from: classes, sets of labels and numbers, as arrays and back in their own labels and units."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from polyfuse.data.cells.numbers import parse_number
from polyfuse.data.cells.source import BadCell, Limits, UnseenLabel


def plain_label(value: Any) -> Any:
    """A label as JSON keeps it: NumPy scalars become Python's, and 3.0 becomes 3."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (bool, int, float)) else str(value).strip()


def _listed(classes: Sequence[Any]) -> str:
    shown = ", ".join(map(repr, classes[:10]))
    return f"{shown}, and {len(classes) - 10:,} more" if len(classes) > 10 else shown


def _ordered(labels: Mapping[Any, int]) -> list[Any]:
    return sorted(labels, key=lambda label: (isinstance(label, str), label))


class _Classes:
    """Labels seen in training, in a fixed order, and how often each was seen."""

    media = joint = False

    def __init__(self) -> None:
        self.classes: list[Any] = []
        self.counts: list[int] = []
        self._place: dict[Any, int] = {}

    def _learn(self, labels: Counter) -> None:
        self.classes = _ordered(labels)
        self.counts = [labels[label] for label in self.classes]
        self._index()

    def _index(self) -> None:
        # JSON and Python agree that True == 1, so the type is part of the key
        self._place = {(isinstance(label, bool), label): n for n, label in enumerate(self.classes)}

    def place(self, label: Any) -> int | None:
        """Number of a label's class, or None."""
        label = plain_label(label)
        found = self._place.get((isinstance(label, bool), label))
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
        return UnseenLabel(f"label {plain_label(label)!r} was not seen in training; known: {_listed(self.classes)}")


def _as_number(text: str) -> Any:
    try:
        return plain_label(float(text))
    except ValueError:
        return text


class Category(_Classes):
    """One label per cell (``target.category``). Field ``target`` (U,) int64."""

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn the classes.

        Raises:
            ValueError: all training cells have the same label.
        """
        self._learn(Counter(map(plain_label, cells)))
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
        self.order = None if order is None else [plain_label(label) for label in order]

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:
        """Learn the classes, in order.

        Raises:
            ValueError: labels without an order or outside of the one given, or all training cells alike.
        """
        super().fit(cells, columns, limits)
        name, seen = next(iter(columns)), dict(zip(self.classes, self.counts, strict=True))
        self.classes = ordered(name, self.classes) if self.order is None else distinct(name, self.order)
        self._index()
        self.counts = [0] * len(self.classes)
        for label, count in seen.items():
            place = self.place(label)
            if place is None:
                raise ValueError(
                    f"output {name!r}: the label {label!r} is not in its order ({_listed(self.classes)}); add it to "
                    f"outputs.{name}.head.order where it belongs, or correct the cells"
                )
            self.counts[place] += count


def ordered(name: str, labels: Sequence[Any]) -> list[Any]:
    """Labels that are numbers, or numbers as text, from the lowest to the highest.

    Raises:
        ValueError: labels whose order nobody said.
    """
    values = {label: parse_number(label) for label in labels}
    words = [label for label, value in values.items() if value is None or not math.isfinite(value)]
    if words:
        raise ValueError(
            f"output {name!r} is to be ordinal, and nothing says the order of {_listed(words)}: give it with "
            f"outputs.{name}.head.order=[LOWEST, ..., HIGHEST], or as an ordered categorical of pandas"
        )
    return sorted(labels, key=lambda label: values[label])  # type: ignore[arg-type, return-value]


def distinct(name: str, order: Sequence[Any]) -> list[Any]:
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
    """A set of labels per cell (``target.labels``): a list, or text with a separator. Field ``target`` (U, C) float32.

    Args:
        separator: between labels of a text; ``auto`` takes the first of ``|``, ``;`` and ``,`` that occurs in training.
    """

    def __init__(self, separator: str = "auto"):
        super().__init__()
        self.separator = separator

    def _split(self, cell: Any) -> list[Any]:
        if isinstance(cell, (list, tuple, np.ndarray)):
            return [plain_label(label) for label in cell]
        return [plain_label(label) for label in str(cell).split(self.separator) if label.strip()]

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn the separator and the classes.

        Raises:
            ValueError: no cell has any label.
        """
        if self.separator == "auto":
            texts = [cell for cell in cells if isinstance(cell, str)]
            self.separator = next((s for s in "|;," if any(s in text for text in texts)), "|")
        self._learn(Counter(label for cell in cells for label in set(self._split(cell))))
        if not self.classes:
            raise ValueError(f"output {next(iter(columns))!r}: no training row has any label")

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {**super().state(), "separator": self.separator}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        super().restore(state)
        self.separator = state["separator"]

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


class Number:
    """A number per cell, standardised, on a log scale where that fits better (``target.number``).

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

    def fit(self, cells: Sequence[Any], columns: Mapping[str, str], limits: Limits) -> None:  # noqa: ARG002
        """Learn scale, centre and spread.

        Raises:
            ValueError: no numbers, all the same, or a log scale asked of negative numbers.
        """
        name = next(iter(columns))
        parsed = [parse_number(cell) for cell in cells]
        values = np.array([value for value in parsed if value is not None and math.isfinite(value)])
        if not len(values):
            raise ValueError(f"output {name!r}: no training row has a number; name another head, such as category")
        if np.ptp(values) == 0:
            raise ValueError(f"output {name!r}: every training row has the number {values[0]:g}; nothing to learn")
        self.log = self._choose(values, name)
        scaled = LOGS[self.log][0](values)
        self.centre, self.spread = float(scaled.mean()), float(scaled.std())
        standard = (scaled - self.centre) / self.spread
        self.bounds = float(standard.min()), float(standard.max())

    def _choose(self, values: np.ndarray, name: str) -> str:
        if self.scale == "linear" or (self.scale == "auto" and values.min() < 0):
            return "none"
        if values.min() < 0:
            raise ValueError(f"output {name!r}: a log scale needs numbers of 0 and above, found {values.min():g}")
        log = "log" if values.min() > 0 else "log1p"
        better = abs(_skewness(LOGS[log][0](values))) < abs(_skewness(values))
        return log if self.scale == "log" or better else "none"

    def facts(self) -> dict[str, Any]:
        """``centre`` and ``spread`` on the scale that ``log`` names (none, log, log1p), and standardised ``bounds``."""
        return {"centre": self.centre, "spread": self.spread, "log": self.log, "bounds": self.bounds}

    def state(self) -> dict[str, Any]:
        """All that is fitted, as JSON."""
        return {**self.facts(), "bounds": list(self.bounds)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state()`` described."""
        self.centre, self.spread, self.log = state["centre"], state["spread"], state["log"]
        self.bounds = (state["bounds"][0], state["bounds"][1])

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
        """``target`` (U,) float32."""
        return {"target": np.stack(cells).astype(np.float32)}


def _skewness(values: np.ndarray) -> float:
    spread = values.std()
    return float((((values - values.mean()) / spread) ** 3).mean()) if spread else 0.0
