"""Decision rules from costs or thresholds: one number per class, applied to its probability."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Given = Mapping[Any, float] | float | None
"""One number for all classes, or class -> number for some, or nothing."""


def values_per_class(given: Given, classes: Sequence, what: str, default: float, most: float = math.inf) -> np.ndarray:
    """One number per class (C,): those given, ``default`` for the others.

    Args:
        what: what messages call the numbers.
        most: the numbers lie between 0 and this.

    Raises:
        ValueError: no such class, or a number out of bounds.
    """
    found = np.full(len(classes), default)
    if given is None:
        return found
    for name, value in given.items() if isinstance(given, Mapping) else [(label, given) for label in classes]:
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
        if not 0 <= number <= most or math.isinf(number):
            bounds = "a number from 0 on" if math.isinf(most) else f"a number from 0 to {most:g}"
            raise ValueError(f"{what} of class {name!r}: expected {bounds}, found {value!r}")
        found[class_index(name, classes, what)] = number
    return found


def class_index(name: Any, classes: Sequence, what: str) -> int:
    """The place of a class, by itself or by how it is written: ``3`` and ``"3"`` are one class here.

    Raises:
        ValueError: no such class.
    """
    written = [str(label) for label in classes]
    if str(name) in written:
        return written.index(str(name))
    near = difflib.get_close_matches(str(name), written, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    known = ", ".join(written[:20]) + (", ..." if len(written) > 20 else "")
    raise ValueError(f"{what}: there is no class {name!r}{hint} Known: {known}")
