"""Short answers: exact match and token F1 as for SQuAD, and the accuracy of visual question answering.

Rajpurkar et al., SQuAD, EMNLP 2016; Antol et al., VQA: visual question answering, ICCV 2015.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from polyfuse.metrics.text.tokens import UNSPACED

AGREE = 3  # people who must say it, for an answer to be wholly right
FEWEST = AGREE + 1  # references of a row below which its accuracy could never be 1

_SIGNS = re.compile(f"[{UNSPACED}]")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MARKS = str.maketrans(
    "", "", string.punctuation + "\u3002\uff0c\uff1f\uff01\uff1a\uff1b\u3001\u300c\u300d\u201c\u201d"
)

_TO_TEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {"none": "0", **{word: str(n) for n, word in enumerate(_TO_TEN)}}
VQA_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_THOUSANDS = re.compile(r"\d,\d")
_POINT = re.compile(r"\.(?!\d)")
_SHORTENED = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd "
    "he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't "
    "must've needn't not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've "
    "somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll "
    "that's there'd there'd've there're there's they'd they'd've they'll they're they've wasn't we'd've we've "
    "weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've "
    "why'll why're why's 'twas won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've "
    "you'll you're you've"
)
SHORTENED = {}  # a word that lacks its apostrophe, or one of its two, is the one that has it
for _word in _SHORTENED.split():
    for _at, _letter in enumerate(_word):
        if _letter == "'":
            SHORTENED[_word[:_at] + _word[_at + 1 :]] = _word


@lru_cache(maxsize=2**16)
def squad_normal(text: str) -> str:
    """Lower case, without punctuation, articles and double spaces: ``The red Car.`` -> red car."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_MARKS)).split())


@lru_cache(maxsize=2**16)
def vqa_normal(text: str) -> str:
    """As the official evaluation of VQA processes an answer: numbers as digits, no articles and no punctuation.

    ``Two dogs.`` -> 2 dogs. A mark goes without trace if one of its kind stands beside a space, or the text has a
    number with a comma; else it becomes a space.
    """
    text = _flat(text)
    numbered, found = _THOUSANDS.search(text) is not None, text
    for mark in VQA_MARKS:
        beside = numbered or f"{mark} " in text or f" {mark}" in text
        found = found.replace(mark, "" if beside else " ")
    words = (NUMBERS.get(word, word) for word in _POINT.sub("", found).lower().split())
    return " ".join(SHORTENED.get(word, word) for word in words if word not in ("a", "an", "the"))


def _flat(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def exact_match(texts: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Whether each row's text is one of its references (N,), 0 or 1, as SQuAD compares."""
    pairs = zip(texts, references, strict=True)
    return np.array([squad_normal(text) in {squad_normal(one) for one in several} for text, several in pairs], float)


def token_f1(texts: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Balance of precision and recall of words (N,), with the best reference, as for SQuAD.

    Signs of scripts without spaces are words of their own.
    """
    return np.array(
        [
            max(_f1(_words(text), _words(one)) for one in several)
            for text, several in zip(texts, references, strict=True)
        ],
        dtype=float,
    )


@lru_cache(maxsize=2**16)
def _words(text: str) -> tuple[str, ...]:
    return tuple(_SIGNS.sub(r" \g<0> ", squad_normal(text)).split())


def _f1(words: tuple[str, ...], others: tuple[str, ...]) -> float:
    if not words or not others:
        return float(words == others)
    if words == others:
        return 1.0
    shared = sum((Counter(words) & Counter(others)).values()) if not set(words).isdisjoint(others) else 0
    return 2 * shared / (len(words) + len(others))


def vqa_accuracy(texts: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """min(people who said it / 3, 1) of each row (N,), the mean over all sets of people but one.

    As officially counted, both sides are processed by ``vqa_normal`` only where people differ: where all say the same,
    so must the text. NaN for rows with fewer than four references, where no answer could be wholly right.
    """
    found = np.full(len(texts), np.nan)
    for row, (text, several) in enumerate(zip(texts, references, strict=True)):
        if (people := len(several)) >= FEWEST:
            normal = vqa_normal if len({_flat(one) for one in several}) > 1 else _flat
            said = normal(text)
            same = sum(normal(one) == said for one in several)
            without_one = same * min((same - 1) / AGREE, 1.0) if same else 0.0  # one of those who said it is left out
            found[row] = (without_one + (people - same) * min(same / AGREE, 1.0)) / people
    return found
