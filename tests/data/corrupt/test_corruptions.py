"""Every corruption: nothing at severity 0, more with more severity, the same again for the same generator."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from polyfuse.data.cells.columns import Columns
from polyfuse.data.cells.source import Limits
from polyfuse.data.cells.vectors import Sequence, Vector
from polyfuse.data.corrupt import CORRUPTIONS, corruptions_for, default_corruptions
from polyfuse.data.corrupt.text import _characters, _nearby_character

DAY = np.datetime64("2024-03-05")


def columns() -> Columns:
    made = Columns()
    rng = np.random.default_rng(0)
    cells = [(float(rng.normal(50, 7)), "xyz"[n % 3], f"2024-0{1 + n % 9}-11", n) for n in range(40)]
    made.fit(cells, {"a": "number", "b": "category", "c": "date", "d": "number"}, Limits())
    return made


def features(kind: type, shape: tuple[int, ...], standardise: bool = True):
    made = kind(standardise=standardise)
    rng = np.random.default_rng(0)
    made.fit([rng.normal(size=shape) for _ in range(9)], {"x": "vector"}, Limits())
    return made


TRANSFORMS = {
    "columns": columns(),
    "vector": features(Vector, (30,)),
    "sequence": features(Sequence, (12, 4)),
    "image": None,
    "text": None,
    "audio": None,
}
WORDS = "Five plums, 三个苹果 and a 🍐 fell from the old tree while nobody was looking at it"
CELLS = {
    "image": lambda rng: rng.integers(0, 256, (24, 32, 3), dtype=np.uint8),
    "text": lambda rng: WORDS,
    "audio": lambda rng: np.rint(9000 * np.sin(np.arange(800) / 7) * rng.random()).astype(np.int16),
    "columns": lambda rng: (float(rng.normal(50, 7)), "xyz"[rng.integers(3)], "2024-02-11", 7),
    "vector": lambda rng: rng.normal(size=30).astype(np.float32).clip(-5, 5),
    "sequence": lambda rng: rng.normal(size=(12, 4)).astype(np.float32).clip(-5, 5),
}
ALL = [(modality, name) for modality, table in CORRUPTIONS.items() for name in table]
AS_ARRAYS = [pair for pair in ALL if pair[0] not in ("text", "columns") and pair[1] != "missing"]


def apply(modality: str, name: str, cell, severity: float, seed: int = 0):
    return CORRUPTIONS[modality][name](cell, severity, np.random.default_rng(seed), TRANSFORMS[modality])


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    return a == b


def distance(modality: str, a, b) -> float:
    """How far a changed cell is from the clean one, on a scale of the modality's own."""
    if b is None:
        return 1e6
    if modality == "text":
        return sum(x != y for x, y in zip(a, b.ljust(len(a), "\0"), strict=False)) + abs(len(a) - len(b))
    if modality == "columns":
        encoded = TRANSFORMS["columns"].encode([a, b], Limits())
        return 1e3 if not isinstance(encoded[1], np.ndarray) else float(np.abs(encoded[0] - encoded[1]).mean())
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


@pytest.mark.parametrize(("modality", "name"), ALL)
def test_severity_0_is_the_cell_itself(modality, name):
    cell = CELLS[modality](np.random.default_rng(1))
    assert apply(modality, name, cell, 0) is cell


@pytest.mark.parametrize(("modality", "name"), ALL)
def test_the_same_generator_gives_the_same_noise_and_the_cell_given_stays(modality, name):
    cell, kept = (CELLS[modality](np.random.default_rng(1)) for _ in range(2))
    for seed in range(3):
        assert same(apply(modality, name, cell, 0.6, seed), apply(modality, name, cell, 0.6, seed))
    assert same(cell, kept)


@pytest.mark.parametrize(("modality", "name"), ALL)
def test_noise_grows_with_severity(modality, name):
    means = []
    for severity in (0.0, 0.25, 0.5, 0.75, 1.0):
        cells = [(seed, CELLS[modality](np.random.default_rng(seed))) for seed in range(40)]
        means.append(np.mean([distance(modality, c, apply(modality, name, c, severity, seed)) for seed, c in cells]))
    assert means[0] == 0
    assert all(later >= earlier for earlier, later in pairwise(means)), means
    assert means[-1] > means[1]


@pytest.mark.parametrize(("modality", "name"), AS_ARRAYS)
def test_shapes_and_types_stay(modality, name):
    cell = CELLS[modality](np.random.default_rng(1))
    for severity in (0.1, 1.0):
        changed = apply(modality, name, cell, severity)
        assert (changed.shape, changed.dtype) == (cell.shape, cell.dtype)


@pytest.mark.parametrize("severity", [-0.1, 1.1, float("nan")])
def test_a_severity_out_of_range_is_refused(severity):
    with pytest.raises(ValueError, match="from 0"):
        apply("text", "typos", "word", severity)


def test_missing_is_nested_in_severity():
    """A row that loses its cell at one severity has lost it at all larger ones: curves do not jump about."""
    for seed in range(50):
        gone = [apply("text", "missing", "word", s, seed) is None for s in (0.2, 0.4, 0.6, 0.8, 1.0)]
        assert gone == sorted(gone)
        assert gone[-1]


def test_every_corruption_says_what_it_does():
    assert all(c.summary and len(c.summary) < 120 for table in CORRUPTIONS.values() for c in table.values())
    assert all("missing" in table for table in CORRUPTIONS.values())
    assert list(corruptions_for("smell")) == ["missing"]
    assert {m: names[0] for m, names in default_corruptions().items()} == {
        m: next(iter(t)) for m, t in CORRUPTIONS.items()
    }


@given(st.text(max_size=40), st.floats(0, 1), st.integers(0, 99))
@example("", 1.0, 0)
@example("a", 1.0, 0)
@example("   \n", 1.0, 0)
@example("\ud800 \U0010ffff \x00", 1.0, 0)
@settings(deadline=None)
def test_any_text_survives(text, severity, seed):
    for name in ("typos", "word_drop"):
        changed = apply("text", name, text, severity, seed)
        assert isinstance(changed, str)
        assert severity > 0 or changed == text


@pytest.mark.parametrize(
    "text", ["三个苹果掉在地上没有人看见", "🍎🍐🍊🍋🍌🍉🍇🍓🫐🍈", "зелёное яблоко лежит", "PLUMS AND PEARS"]
)
def test_typos_stay_in_their_script(text):
    changed = [apply("text", "typos", text, 1.0, seed) for seed in range(20)]
    kinds = {unicodedata.category(char) for char in text}
    assert all(text != one for one in changed)
    assert {unicodedata.category(char) for one in changed for char in one} <= kinds


def test_typos_leave_blanks_alone_and_joined_emoji_whole():
    changed = [apply("text", "typos", "one two  three", 1.0, seed) for seed in range(20)]
    assert all(one.count(" ") == 3 for one in changed)
    assert _characters("e\u0301👩‍👩‍👧👍🏽x") == ["e\u0301", "👩‍👩‍👧", "👍🏽", "x"]
    assert {_nearby_character("g", u / 10) for u in range(10)} <= set("fhtyvb")
    assert _nearby_character("G", 0.5).isupper()


def test_dropped_words_are_words():
    changed = apply("text", "word_drop", "one two three 苹果", 0.5, 3)
    assert set(changed.split()) <= {"one", "two", "three", "苹果", "苹", "果"}
    assert apply("text", "word_drop", "one two three 苹果!", 1.0, 3) == ""
    assert apply("text", "word_drop", ["one", "two"], 1.0, 3) == ""


@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))),
    st.floats(0, 1),
    st.integers(0, 99),
)
@example(np.zeros((1, 1, 3), np.uint8), 1.0, 0)
@settings(deadline=None, max_examples=40)
def test_any_picture_survives(cell, severity, seed):
    for name in set(CORRUPTIONS["image"]) - {"missing"}:
        changed = apply("image", name, cell, severity, seed)
        assert (changed.shape, changed.dtype) == (cell.shape, cell.dtype)
        assert severity > 0 or same(changed, cell)


def test_grey_pictures_stay_grey_and_occlusion_hides_its_share():
    grey = np.full((30, 40, 3), 90, np.uint8)
    noisy = apply("image", "noise", grey, 0.5)
    assert (noisy == noisy[..., :1]).all()
    hidden = apply("image", "occlusion", grey, 0.25)
    assert (hidden[..., 0] == 128).mean() == pytest.approx(0.25, abs=0.01)
    assert (apply("image", "occlusion", grey, 1.0) == 128).all()


@given(arrays.arrays(np.int16, st.integers(1, 50)), st.floats(0, 1), st.integers(0, 99))
@example(np.array([-32768], np.int16), 1.0, 0)
@example(np.zeros(1, np.int16), 1.0, 0)
@settings(deadline=None)
def test_any_sound_survives(cell, severity, seed):
    for name in ("noise", "dropouts", "clipping"):
        changed = apply("audio", name, cell, severity, seed)
        assert (changed.shape, changed.dtype) == (cell.shape, cell.dtype)
        assert severity > 0 or same(changed, cell)


@pytest.mark.parametrize(("severity", "decibels"), [(0.25, 20), (0.75, 0), (1.0, -10)])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_noise_has_the_ratio_it_says(severity, decibels, kind):
    clean = np.sin(np.arange(80_000) / 7) * (20_000 if kind is np.int16 else 0.7)
    noisy = apply("audio", "noise", clean.astype(kind), severity).astype(float)
    gain = (noisy * clean).sum() / (clean**2).sum()  # all of it is softer where the sum was too loud
    ratio = 10 * np.log10(((gain * clean) ** 2).sum() / ((noisy - gain * clean) ** 2).sum())
    assert ratio == pytest.approx(decibels, abs=0.5)


def test_clipping_keeps_the_peak():
    cell = CELLS["audio"](np.random.default_rng(1))
    clipped = apply("audio", "clipping", cell, 1.0)
    assert np.abs(clipped).max() == np.abs(cell).max()
    assert (np.abs(clipped) == np.abs(cell).max()).mean() > 0.8


def test_columns_move_by_their_own_spread():
    rng = np.random.default_rng(0)
    made = Columns()
    made.fit(
        [(float(rng.normal(0, 1)), float(rng.normal(0, 1000))) for _ in range(500)],
        dict.fromkeys("ab", "number"),
        Limits(),
    )
    moved = np.array(
        [CORRUPTIONS["columns"]["noise"]((5.0, 5.0), 0.5, np.random.default_rng(s), made) for s in range(500)]
    )
    assert np.allclose(moved.std(0), [1, 1000], rtol=0.15)


def test_a_columns_noise_does_not_depend_on_the_others():
    changed = [
        apply("columns", "noise", (50.0, "x", date, n), 0.7) for date in (None, "2024-02-11") for n in (None, 3, "no")
    ]
    assert len({cell[0] for cell in changed}) == len({cell[1] for cell in changed}) == 1
    assert [cell[3] for cell in changed if isinstance(cell[3], str)] == ["no", "no"]
    assert [cell[2] for cell in changed[:3]] == [None] * 3
    assert {cell[2].astype("int64") % 86_400 for cell in changed[3:]} == {0}, "whole days stay whole days"


def test_categories_become_known_ones_and_all_are_drawn_anew_at_1():
    drawn = [apply("columns", "noise", (1.0, "x", None, 1), 1.0, seed)[1] for seed in range(300)]
    assert {one: drawn.count(one) > 70 for one in drawn} == dict.fromkeys("xyz", True)


@pytest.mark.parametrize("date", ["0001-01-01", "9999-12-31", DAY, "2024-01-31T10:00"])
def test_dates_stay_in_the_calendar(date):
    for seed in range(20):
        cell = apply("columns", "noise", (1.0, "x", date, 1), 1.0, seed)
        encoded = TRANSFORMS["columns"].encode([cell], Limits())[0]
        assert np.isfinite(encoded).all()
        assert not TRANSFORMS["columns"].broken([cell])


def test_features_in_their_own_unit_are_measured_by_the_cell():
    made = features(Vector, (30,), standardise=False)
    cell = (1000 * np.random.default_rng(0).normal(size=30)).astype(np.float32)
    noisy = CORRUPTIONS["vector"]["noise"](cell, 1.0, np.random.default_rng(0), made)
    assert 500 < np.abs(noisy - cell).mean() < 4000
    standard = apply("vector", "noise", CELLS["vector"](np.random.default_rng(0)), 1.0)
    assert np.abs(standard).max() <= 5
