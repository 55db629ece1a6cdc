"""Shapley values of inputs: they add up, treat equals alike, and give nothing to who brings nothing."""

import subprocess
import sys
from typing import ClassVar
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.explain.contribution import contributions, shapley
from polyfuse.runtime.servant import InputFacts, OutputFacts

NAMES = ["a", "b", "c", "d"]


def game(seed, players, null=None, twins=()):
    """A game of random worth for 3 rows; ``null`` changes nothing, ``twins`` change the same."""
    kept = {}

    def one(subset):
        seen = frozenset(name for name in subset if name != null)
        if twins and twins[1] in seen and twins[0] not in seen:
            seen = seen - {twins[1]} | {twins[0]}
        if seen not in kept:
            kept[seen] = np.random.default_rng(crc32(f"{seed} {sorted(seen)}".encode())).normal(size=3)
        return kept[seen]

    return lambda subsets: np.stack([one(subset) for subset in subsets])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6), st.booleans())
def test_contributions_add_up(seed, players, exact):
    names = [f"p{n}" for n in range(players)]
    made = shapley(game(seed, players), names, exact=8 if exact else 0, permutations=8, seed=seed)
    np.testing.assert_allclose(made.values.sum(0), made.all - made.none, atol=1e-9)
    assert made.exact == exact


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_a_null_player_gets_nothing_and_twins_get_the_same(seed):
    made = shapley(game(seed, 4, null="d", twins=("a", "b")), NAMES)
    assert np.abs(made.values[3]).max() < 1e-12
    np.testing.assert_allclose(made.values[0], made.values[1], atol=1e-9)
    drawn = shapley(game(seed, 4, null="d"), NAMES, exact=0)
    assert np.abs(drawn.values[3]).max() < 1e-12


def test_of_two_players_they_are_the_known_ones():
    worth = {frozenset(): 1.0, frozenset("a"): 3.0, frozenset("b"): 2.0, frozenset("ab"): 8.0}
    made = shapley(lambda subsets: np.array([worth[s] for s in subsets]), ["a", "b"])
    assert made.values.tolist() == [4.0, 3.0]
    assert (made.none, made.all, made.subsets) == (1.0, 8.0, 4)


def test_drawn_values_come_near_the_exact_ones_within_their_errors():
    names = [f"p{n}" for n in range(7)]
    value = game(3, 7)
    exact, drawn = shapley(value, names), shapley(value, names, exact=0, permutations=512)
    assert np.abs(drawn.values - exact.values).max() < 0.4
    assert (np.abs(drawn.values - exact.values) / np.maximum(drawn.error, 1e-12)).max() < 5
    again = shapley(value, names, exact=0, permutations=512)
    np.testing.assert_array_equal(drawn.values, again.values)


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [([], {}, "at least one"), (["a", "a"], {}, "one name"), (["a"], {"permutations": 1}, "4")],
)
def test_what_cannot_be_is_refused(names, options, words):
    with pytest.raises(ValueError, match=words):
        shapley(lambda subsets: np.zeros(len(subsets)), names, **options)


class Made:
    """A model whose output ``kind`` is decided by the picture, and whose number is 2 per sound."""

    name = "made"
    inputs: ClassVar = {
        n: InputFacts(n, m, (n,)) for n, m in (("photo", "image"), ("sound", "audio"), ("note", "text"))
    }
    outputs: ClassVar = {
        "kind": OutputFacts("kind", "category", ["cat", "dog"]),
        "size": OutputFacts("size", "number"),
        "story": OutputFacts("story", "text", writes=True),
    }

    def scores(self, records, subsets):
        def has(row, subset, name):
            return name in subset and row.get(name) is not None

        dog = [[0.9 if has(row, s, "photo") else 0.5 for row in records] for s in subsets]
        kind = np.stack([1 - np.array(dog), np.array(dog)], 2)
        size = np.array([[[2.0 * has(row, s, "sound")] for row in records] for s in subsets])
        return {"kind": kind.astype(np.float32), "size": size.astype(np.float32)}


ROWS = [{"photo": b"x", "sound": b"y", "note": "z"}, {"photo": b"x", "note": "z"}]


def test_a_servant_is_explained_row_by_row():
    both, silent = contributions(Made(), ROWS)
    assert both["kind"].label == "dog"
    assert both["kind"].values == pytest.approx({"photo": 0.4, "sound": 0, "note": 0})
    assert both["size"].values == pytest.approx({"photo": 0, "sound": 2, "note": 0})
    assert silent["size"].values["sound"] == 0
    assert silent["size"].missing == ("sound",)
    assert contributions(Made(), ROWS[:1], output="kind", label="cat")[0]["kind"].values["photo"] == pytest.approx(-0.4)


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (ROWS, {"output": "colour"}, "unknown output 'colour'. Known: kind, size, story"),
        (ROWS, {"output": "story"}, r"output 'story' \(text\) has scores"),
        (ROWS, {"output": "kind", "label": "cow"}, "no label 'cow'. Known: cat, dog"),
        (ROWS, {"label": "dog"}, "name the output"),
        ([*ROWS, {}], {}, "row 2: every input is missing"),
    ],
)
def test_what_cannot_be_explained_is_said(rows, options, words):
    with pytest.raises(ValueError, match=words):
        contributions(Made(), rows, **options)


def test_contributions_need_neither_torch_nor_pandas():
    code = "import sys, polyfuse.explain.contribution; print([m for m in ('torch', 'pandas') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
