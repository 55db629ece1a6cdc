"""Written clues, each true of two to five digits: enough to help the other modalities, never enough to do without.

A clue joins one or two facts ("even and above five", "比三大的奇数"). Zero counts as even, as a multiple of every
number and as a square. Every clue is drawn with a chance that is the same for all digits it fits, so that its wording
tells its facts and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations

import numpy as np

SIZES = range(2, 6)  # how many digits a clue leaves open
LANGUAGES = ("en", "zh")
_EN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ZH = "零一二三四五六七八九"


@dataclass(frozen=True)
class Fact:
    """Something true of some digits.

    Args:
        digits: those it is true of.
        phrases: language -> ways to end the sentence "it is ...".
        nouns: language -> nouns that say the same ("an even number"), where there are any.
    """

    digits: frozenset[int]
    phrases: dict[str, tuple[str, ...]]
    nouns: dict[str, tuple[str, ...]] = field(default_factory=dict)


Clue = tuple[Fact, ...]


def _wordings(en: str, zh: str) -> dict[str, tuple[str, ...]]:
    return {"en": tuple(en.split(", ")), "zh": tuple(zh.split("、"))}


def _above(n: int) -> Fact:
    english = "above N, greater than N, more than N, bigger than N".replace("N", _EN[n])
    return Fact(frozenset(range(n + 1, 10)), _wordings(english, "大于N、比N大、超过N".replace("N", _ZH[n])))


def _below(n: int) -> Fact:
    english = "below N, less than N, smaller than N, under N".replace("N", _EN[n])
    return Fact(frozenset(range(n)), _wordings(english, "小于N、比N小、不到N".replace("N", _ZH[n])))


def _letters(n: int) -> Fact:
    english = "N letters long, spelt with N letters".replace("N", _EN[n])
    phrases = _wordings(english, "英文有N个字母、英文由N个字母拼成".replace("N", _ZH[n]))
    return Fact(frozenset(digit for digit, word in enumerate(_EN) if len(word) == n), phrases)


_ALL, _EVEN, _THREES = frozenset(range(10)), frozenset(range(0, 10, 2)), frozenset(range(0, 10, 3))
_PRIME, _SQUARE = frozenset({2, 3, 5, 7}), frozenset({0, 1, 4, 9})

FACTS: tuple[Fact, ...] = (
    *(_above(n) for n in range(2, 8)),
    *(_below(n) for n in range(2, 8)),
    *(_letters(n) for n in range(3, 6)),
    Fact(
        _EVEN,
        _wordings("even, divisible by two, not odd", "是偶数、能被二整除、不是奇数"),
        _wordings("an even number, an even digit", "偶数、双数"),
    ),
    Fact(
        _ALL - _EVEN,
        _wordings("odd, not divisible by two, not even", "是奇数、不能被二整除、不是偶数"),
        _wordings("an odd number, an odd digit", "奇数、单数"),
    ),
    Fact(
        _PRIME, _wordings("prime, a prime number", "是质数、是素数"), _wordings("a prime, a prime number", "质数、素数")
    ),
    Fact(_ALL - _PRIME, _wordings("not prime, not a prime number", "不是质数、不是素数")),
    Fact(_THREES, _wordings("divisible by three, a multiple of three", "能被三整除、是三的倍数")),
    Fact(_ALL - _THREES, _wordings("not divisible by three, not a multiple of three", "不能被三整除、不是三的倍数")),
    Fact(_SQUARE, _wordings("a square number, a perfect square", "是平方数、是完全平方数")),
)

_PAIRS = {
    "en": ("{a} and {b}", "both {a} and {b}", "{a}, but also {b}"),
    "zh": ("{a}，{b}", "既{a}又{b}", "{a}而且{b}"),
}
_WITH_NOUN = {"en": "{noun} that is {a}", "zh": "{a}的{noun}"}


def digits_of(clue: Clue) -> frozenset[int]:
    """The digits that a clue leaves open."""
    return frozenset.intersection(*(fact.digits for fact in clue))


@cache
def clues() -> tuple[Clue, ...]:
    """Every fact, and every pair of facts where each adds something, that leaves a number of digits in ``SIZES``."""
    pairs = (pair for pair in combinations(FACTS, 2) if all(digits_of(pair) < fact.digits for fact in pair))
    return tuple(clue for clue in (*((fact,) for fact in FACTS), *pairs) if len(digits_of(clue)) in SIZES)


@cache
def draw_probabilities() -> np.ndarray:
    """How often to draw each clue for each digit that it fits.

    Shapes: (clues, 10); a row holds one value, and 0 for the digits that the clue rules out; columns sum to 1.
    Drawing evenly among the true clues would not do: a digit with few of them would get each more often, and the clue
    would favour it. Scaled in turns until every column sums to 1, after Sinkhorn (1964).
    """
    fits = np.array([[digit in digits_of(clue) for digit in range(10)] for clue in clues()])
    chance = np.ones(len(fits))
    for _ in range(2000):
        chance *= np.exp(-(fits @ np.log(chance @ fits)) / fits.sum(1))
    return chance[:, None] * fits


def word_clue(clue: Clue, language: str, rng: np.random.Generator) -> str:
    """One of the wordings of a clue."""
    phrases = [str(rng.choice(fact.phrases[language])) for fact in clue]
    if len(clue) == 1:
        return phrases[0]
    first, second = rng.permutation(2)
    nouns = clue[second].nouns.get(language)
    if nouns and rng.random() < 0.5:
        return _WITH_NOUN[language].format(a=phrases[first], noun=rng.choice(nouns))
    return str(rng.choice(_PAIRS[language])).format(a=phrases[first], b=phrases[second])


def draw(digits: Iterable[int], rng: np.random.Generator) -> list[str]:
    """A clue in one of ``LANGUAGES`` for every digit."""
    upto = draw_probabilities().cumsum(0)
    rows = [int(np.searchsorted(upto[:, digit], rng.random() * upto[-1, digit], "right")) for digit in digits]
    return [word_clue(clues()[row], str(rng.choice(LANGUAGES)), rng) for row in rows]
