"""Shapley values of inputs from a prediction function alone. Lundberg and Lee, NeurIPS 2017; needs NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

import numpy as np

EXACT = 8  # inputs up to which all subsets are asked for
PERMUTATIONS = 64  # random orders beyond that, each with its reverse

Value = Callable[[Sequence[frozenset[str]]], np.ndarray]
"""Subsets of inputs that stay present -> (S, ...) what the model predicts, one entry per subset."""


@dataclass(frozen=True)
class Contributions:
    """What each input adds to a prediction.

    Args:
        values: input -> (...) Shapley values; over all inputs they sum to ``whole - base``.
        base: (...) the prediction without any input.
        whole: (...) the prediction with all of them.
        errors: input -> (...) standard errors of sampled values; empty where they are exact.
    """

    values: Mapping[str, np.ndarray]
    base: np.ndarray
    whole: np.ndarray
    errors: Mapping[str, np.ndarray] = field(default_factory=dict)

    def shares(self) -> dict[str, np.ndarray]:
        """Input -> its part (...) of the sum of absolute values, 0 to 1; 0 everywhere if no input changes anything."""
        total = sum(np.abs(value) for value in self.values.values())
        safe = np.where(total > 0, total, 1)
        return {name: np.abs(value) / safe for name, value in self.values.items()}


def shapley(
    value: Value, names: Sequence[str], *, exact: int = EXACT, permutations: int = PERMUTATIONS, seed: int = 0
) -> Contributions:
    """Compute the Shapley value of each input.

    An input that is missing in a row changes no prediction there, so its value is exactly 0.

    Args:
        value: asked for all subsets at once.
        names: of the inputs.
        exact: inputs up to which all 2^n subsets are asked for; beyond, random orders of inputs are averaged.
        permutations: number of random orders; the reverse of each is taken as well (antithetic sampling).
        seed: of the random orders.

    Raises:
        ValueError: no input, or one named twice.

    Example:
        >>> worth = {"text": 2.0, "image": 1.0}
        >>> found = shapley(lambda subsets: np.array([sum(worth[n] for n in s) for s in subsets]), ["text", "image"])
        >>> float(found.values["text"])
        2.0
    """
    if not names or len(set(names)) < len(names):
        raise ValueError(f"expected one or more inputs, each named once, found {list(names)}")
    if len(names) <= exact:
        return _exact(value, list(names))
    return _sampled(value, list(names), permutations, np.random.default_rng(seed))


def _exact(value: Value, names: list[str]) -> Contributions:
    subsets = [frozenset(some) for size in range(len(names) + 1) for some in combinations(names, size)]
    asked = np.asarray(value(subsets), dtype=np.float64)
    found = dict(zip(subsets, asked, strict=True))
    values = {}
    for name in names:
        without = [subset for subset in subsets if name not in subset]
        gains = [(found[s | {name}] - found[s]) / (len(names) * comb(len(names) - 1, len(s))) for s in without]
        values[name] = np.sum(gains, axis=0)
    return Contributions(values, found[frozenset()], found[frozenset(names)])


def _sampled(value: Value, names: list[str], permutations: int, rng: np.random.Generator) -> Contributions:
    orders = [tuple(names[n] for n in rng.permutation(len(names))) for _ in range(max(1, permutations))]
    subsets = list(dict.fromkeys(s for order in orders for way in (order, order[::-1]) for s in _grown(way)))
    found = dict(zip(subsets, np.asarray(value(subsets), dtype=np.float64), strict=True))
    pairs = {name: [] for name in names}  # type: dict[str, list[np.ndarray]]
    for order in orders:
        gains = [_gains(found, way) for way in (order, order[::-1])]
        for name in names:
            pairs[name].append((gains[0][name] + gains[1][name]) / 2)
    values = {name: np.mean(each, axis=0) for name, each in pairs.items()}
    errors = {name: np.std(each, axis=0, ddof=1) / len(each) ** 0.5 for name, each in pairs.items()}
    known = len(orders) > 1
    return Contributions(values, found[frozenset()], found[frozenset(names)], errors if known else {})


def _grown(order: Sequence[str]) -> Iterator[frozenset[str]]:
    """The subsets that arise as inputs come in one after the other, from none to all."""
    return (frozenset(order[:n]) for n in range(len(order) + 1))


def _gains(found: Mapping[frozenset[str], np.ndarray], order: Sequence[str]) -> dict[str, np.ndarray]:
    """What each input adds when it comes in at its place in the order."""
    steps = list(_grown(order))
    return {name: found[after] - found[before] for name, before, after in zip(order, steps, steps[1:], strict=False)}
