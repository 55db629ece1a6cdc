"""Clues are read here by a small interpreter of its own, so that a wrong fact or a wrong translation shows."""

from __future__ import annotations

import re

import numpy as np
import pytest

from polyfuse.digits import clues

ENGLISH = {word: n for n, word in enumerate(re.findall(r"\w+", "zero one two three four five six seven eight nine"))}
CHINESE = {sign: n for n, sign in enumerate("零一二三四五六七八九")}
NUMBER = {**ENGLISH, **CHINESE}
SPELLING = {n: word for word, n in ENGLISH.items()}
PRIMES, SQUARES = {2, 3, 5, 7}, {n * n for n in range(4)}

READINGS = [
    (r"(?:above|greater than|more than|bigger than) (\w+)", lambda d, n: d > n),
    (r"(?:below|less than|smaller than|under) (\w+)", lambda d, n: d < n),
    (r"(?:divisible by|a multiple of) (\w+)", lambda d, n: d % n == 0),
    (r"(\w+) letters long|spelt with (\w+) letters", lambda d, n: len(SPELLING[d]) == n),
    (r"even|an even (?:number|digit)", lambda d: d % 2 == 0),
    (r"odd|an odd (?:number|digit)", lambda d: d % 2 == 1),
    (r"prime|a prime|a prime number", lambda d: d in PRIMES),
    (r"a square number|a perfect square", lambda d: d in SQUARES),
    (r"大于(.)|比(.)大|超过(.)", lambda d, n: d > n),
    (r"小于(.)|比(.)小|不到(.)", lambda d, n: d < n),
    (r"能被(.)整除|是(.)的倍数", lambda d, n: d % n == 0),
    (r"英文有(.)个字母|英文由(.)个字母拼成", lambda d, n: len(SPELLING[d]) == n),
    (r"是?(?:偶数|双数)", lambda d: d % 2 == 0),
    (r"是?(?:奇数|单数)", lambda d: d % 2 == 1),
    (r"是?(?:质数|素数)", lambda d: d in PRIMES),
    (r"是(?:完全)?平方数", lambda d: d in SQUARES),
]
JOINTS = r", but also | and | that is |，|又|而且|的(?=[偶双奇单质素]数)"


def read(clue: str) -> set[int]:
    """The digits a clue is true of, by its text alone."""
    parts = re.split(JOINTS, re.sub(r"^(both |既)", "", clue))
    return {digit for digit in range(10) if all(holds(part, digit) for part in parts)}


def holds(part: str, digit: int) -> bool:
    negated = re.fullmatch(r"(?:not |不(?=[是能]))(.+)", part)
    positive = negated[1] if negated else part
    for pattern, test in READINGS:
        match = re.fullmatch(pattern, positive)
        if match:
            numbers = [NUMBER[group] for group in match.groups() if group]
            return test(digit, *numbers) != bool(negated)
    raise AssertionError(f"no reading of {part!r}")


@pytest.mark.parametrize("language", clues.LANGUAGES)
def test_every_wording_says_its_digits_and_leaves_some_open(language):
    rng = np.random.default_rng(0)
    for clue in clues.clues():
        for _ in range(20):
            text = clues.word_clue(clue, language, rng)
            assert read(text) == clues.digits_of(clue), text
            assert 2 <= len(read(text)) <= 5, text


def test_a_drawn_clue_is_true():
    digits = np.random.default_rng(1).integers(0, 10, 2000)
    for digit, text in zip(digits, clues.draw(digits, np.random.default_rng(2)), strict=True):
        assert digit in read(text), text


def test_a_clue_favours_none_of_its_digits():
    chances = clues.draw_probabilities()
    np.testing.assert_allclose(chances.sum(0), 1, rtol=1e-9)
    assert (chances > 0).sum(1).tolist() == [len(clues.digits_of(clue)) for clue in clues.clues()]
    assert all(len(set(row[row > 0])) == 1 for row in chances)


def test_draws_follow_the_chances():
    digits, rng = np.repeat(np.arange(10), 1000), np.random.default_rng(0)
    found: dict[frozenset[int], np.ndarray] = {}
    for digit, text in zip(digits, clues.draw(digits, rng), strict=True):
        found.setdefault(frozenset(read(text)), np.zeros(10))[digit] += 1
    for fitting, counts in found.items():
        drawn = counts[sorted(fitting)]
        spread = ((drawn - drawn.mean()) ** 2).sum() / drawn.mean()  # chi squared, one less degree than digits
        assert spread < 30, (sorted(fitting), drawn)


def test_one_set_of_digits_has_many_wordings():
    rng = np.random.default_rng(0)
    assert len(set(clues.draw([6] * 300, rng))) > 150
