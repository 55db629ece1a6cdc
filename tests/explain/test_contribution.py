"""Shapley values: efficient, symmetric, 0 for what changes nothing, and sampled ones near exact ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.explain.contribution import shapley


def game(inputs: int, seed: int, rows: int = 3):
    """Any game on that many inputs: each subset has its own prediction (rows, 2)."""
    names = [f"i{n}" for n in range(inputs)]
    known: dict[frozenset[str], np.ndarray] = {}

    def value(subsets):
        for s in subsets:
            draw = np.random.default_rng([seed, *sorted(int(n[1:]) for n in s), 999])
            known.setdefault(s, draw.normal(size=(rows, 2)))
        return np.stack([known[s] for s in subsets])

    return value, names


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000), st.booleans())
def test_values_sum_to_all_minus_none(inputs, seed, sampled):
    value, names = game(inputs, seed)
    found = shapley(value, names, exact=0 if sampled else 8, permutations=3)
    np.testing.assert_allclose(sum(found.values.values()), found.whole - found.base, atol=1e-9)
    np.testing.assert_array_equal(found.base, value([frozenset()])[0])
    assert bool(found.errors) == sampled


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10_000), st.booleans())
def test_what_changes_nothing_is_worth_nothing_and_twins_are_worth_the_same(inputs, seed, sampled):
    value, names = game(inputs, seed)

    def with_idle_and_twin(subsets):
        """``idle`` changes nothing; ``twin`` may stand for the first input."""
        first = names[0]
        return value([(s - {"idle", "twin"}) | ({first} if s & {first, "twin"} else frozenset()) for s in subsets])

    found = shapley(with_idle_and_twin, [*names, "idle", "twin"], exact=0 if sampled else 8, permutations=3)
    assert not found.values["idle"].any()
    if not sampled:
        np.testing.assert_allclose(found.values["twin"], found.values[names[0]], atol=1e-9)


def test_values_of_a_sum_are_its_terms_in_any_way():
    worth = {f"i{n}": float(n) for n in range(12)}

    def value(subsets):
        return np.array([sum(worth[n] for n in s) for s in subsets])

    found = shapley(value, list(worth), permutations=5)
    assert {name: round(float(v), 9) for name, v in found.values.items()} == worth
    assert all(float(e) < 1e-9 for e in found.errors.values())


def test_sampled_values_are_within_their_errors_of_exact_ones():
    value, names = game(6, 1, rows=20)
    exact, drawn = shapley(value, names), shapley(value, names, exact=0, permutations=300)
    off = np.stack([(drawn.values[n] - exact.values[n]) / drawn.errors[n] for n in names])
    assert np.sqrt((off**2).mean()) < 1.5
    again = shapley(value, names, exact=0, permutations=300)
    assert all(np.array_equal(again.values[n], drawn.values[n]) for n in names)


def test_exact_values_by_the_definition_over_all_orders():
    from itertools import permutations

    value, names = game(4, 3)
    orders = list(permutations(names))
    slow = {name: np.zeros((3, 2)) for name in names}
    for order in orders:
        for n, name in enumerate(order):
            after, before = value([frozenset(order[: n + 1]), frozenset(order[:n])])
            slow[name] += (after - before) / len(orders)
    found = shapley(value, names)
    for name in names:
        np.testing.assert_allclose(found.values[name], slow[name], atol=1e-9)


def test_shares_are_parts_of_the_whole():
    value, names = game(3, 0)
    shares = shapley(value, names).shares()
    np.testing.assert_allclose(sum(shares.values()), 1)
    nothing = shapley(lambda subsets: np.zeros((len(subsets), 2)), names).shares()
    assert not any(share.any() for share in nothing.values())


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_names_are_checked(names):
    with pytest.raises(ValueError, match="each named once"):
        shapley(lambda subsets: np.zeros(len(subsets)), names)
