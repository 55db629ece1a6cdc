"""Shapley values: what each player of a game brings, from the worth of its coalitions alone; plain NumPy.

Shapley, A value for n-person games, 1953; sampled as Castro, Gomez & Tejada, Polynomial calculation of the Shapley
value based on sampling, Computers & OR 2009, in antithetic pairs (Mitchell et al., Sampling permutations for Shapley
value estimation, JMLR 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

Value = Callable[[Sequence[frozenset[str]]], np.ndarray]
"""Some subsets of the players -> their worth, (S, ...) at once."""

EXACT = 8  # players up to which all subsets are asked
PERMUTATIONS = 128
AT_ONCE = 64  # subsets of one call


@dataclass(frozen=True)
class Shapley:
    """What each player brings.

    Args:
        names: of the players.
        values: contributions (P, ...); over players they add up to ``all - none``.
        none, all: worth of nobody and of everybody (...).
        error: standard error of the values (P, ...); 0 where they are exact.
        exact: whether all subsets were asked.
        subsets: how many were asked.
    """

    names: tuple[str, ...]
    values: np.ndarray
    none: np.ndarray
    all: np.ndarray
    error: np.ndarray
    exact: bool
    subsets: int


def shapley(
    value: Value, names: Sequence[str], *, exact: int = EXACT, permutations: int = PERMUTATIONS, seed: int = 0
) -> Shapley:
    """Shapley values of some players.

    Args:
        value: worth of subsets, such as the probability of a class in each of N rows: (S, N). It is asked for at most
            64 subsets at once, for each subset once.
        names: of the players, each another.
        exact: players up to which all ``2 ** P`` subsets are asked; beyond, orders of arrival are drawn.
        permutations: how many orders, in pairs of one and its reverse; at least 4.
        seed: of the draw.

    Raises:
        ValueError: no player, one named twice, or too few permutations.

    Example:
        >>> shapley(lambda subsets: np.array([float("a" in s) for s in subsets]), ["a", "b"]).values
        array([1., 0.])
    """
    if not names or len(set(names)) != len(names):
        raise ValueError(f"expected one name per input and at least one input, found {', '.join(names) or 'none'}")
    if permutations < 4:
        raise ValueError(f"expected at least 4 permutations, found {permutations}")
    whole = len(names) <= exact
    return _exact(value, tuple(names)) if whole else _sampled(value, tuple(names), permutations, seed)


def _exact(value: Value, names: tuple[str, ...]) -> Shapley:
    players = len(names)
    subsets = [frozenset(some) for size in range(players + 1) for some in combinations(names, size)]
    worth = _asked(value, subsets)
    values = np.zeros((players, *worth[subsets[0]].shape))
    for at, name in enumerate(names):
        for subset in subsets:
            if name not in subset:
                weight = 1 / (players * comb(players - 1, len(subset)))
                values[at] += weight * (worth[subset | {name}] - worth[subset])
    none, everybody = worth[frozenset()], worth[frozenset(names)]
    return Shapley(names, values, none, everybody, np.zeros_like(values), True, len(subsets))


def _sampled(value: Value, names: tuple[str, ...], permutations: int, seed: int) -> Shapley:
    rng, players, pairs = np.random.default_rng(seed), len(names), permutations // 2
    orders = [order for _ in range(pairs) for drawn in [rng.permutation(players)] for order in (drawn, drawn[::-1])]
    chains = [[frozenset(names[at] for at in order[:size]) for size in range(players + 1)] for order in orders]
    worth = _asked(value, list(dict.fromkeys(subset for chain in chains for subset in chain)))
    shape = worth[frozenset()].shape
    total, squares = np.zeros((players, *shape)), np.zeros((players, *shape))
    for first in range(0, len(orders), 2):
        pair = np.zeros((players, *shape))
        for order, chain in zip(orders[first : first + 2], chains[first : first + 2], strict=True):
            for step, at in enumerate(order):
                pair[at] += (worth[chain[step + 1]] - worth[chain[step]]) / 2
        total += pair
        squares += pair**2
    mean = total / pairs
    spread = np.maximum(squares / pairs - mean**2, 0) * pairs / (pairs - 1)
    none, everybody = worth[frozenset()], worth[frozenset(names)]
    return Shapley(names, mean, none, everybody, np.sqrt(spread / pairs), False, len(worth))


def _asked(value: Value, subsets: Sequence[frozenset[str]]) -> dict[frozenset[str], np.ndarray]:
    """Subset -> its worth, in float64, so that sums come out."""
    found: dict[frozenset[str], np.ndarray] = {}
    for first in range(0, len(subsets), AT_ONCE):
        some = subsets[first : first + AT_ONCE]
        worth = np.asarray(value(some), float)
        if worth.shape[:1] != (len(some),):
            raise ValueError(f"expected the worth of {len(some)} subsets, found an array of shape {worth.shape}")
        found.update(zip(some, worth, strict=True))
    return found
