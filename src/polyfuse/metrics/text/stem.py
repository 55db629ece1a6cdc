"""The Porter stemmer for English (Porter, An algorithm for suffix stripping, Program 1980)."""

from __future__ import annotations

from functools import lru_cache

STEP_2 = (
    "ational:ate tional:tion enci:ence anci:ance izer:ize abli:able alli:al entli:ent eli:e ousli:ous ization:ize "
    "ation:ate ator:ate alism:al iveness:ive fulness:ful ousness:ous aliti:al iviti:ive biliti:ble"
)
STEP_3 = "icate:ic ative: alize:al iciti:ic ical:ic ful: ness:"
STEP_4 = "al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize"


def _rules(written: str) -> tuple[tuple[str, str], ...]:
    """Endings and what they become, the longest first, for the longest that fits decides."""
    pairs = (rule.partition(":") for rule in written.split())
    return tuple(sorted(((end, new) for end, _, new in pairs), key=lambda rule: -len(rule[0])))


RULES_2, RULES_3, RULES_4 = _rules(STEP_2), _rules(STEP_3), _rules(STEP_4)


@lru_cache(maxsize=2**16)
def stem(word: str) -> str:
    """The stem of a lower-cased English word: ``running`` -> run; words of up to two letters stay."""
    if len(word) <= 2:
        return word
    word = _past(_plural(word))
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    word = _replace_ending(word, RULES_2, 0)
    word = _replace_ending(word, RULES_3, 0)
    word = _cut(word)
    if word.endswith("e") and ((m := _measure(word[:-1])) > 1 or (m == 1 and not _short(word[:-1]))):
        word = word[:-1]
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word


def _plural(word: str) -> str:
    for ending, new in (("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")):
        if word.endswith(ending):
            return word.removesuffix(ending) + new
    return word


def _past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    ending = next((e for e in ("ed", "ing") if word.endswith(e) and _has_vowel(word.removesuffix(e))), None)
    if ending is None:
        return word
    word = word.removesuffix(ending)
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if _doubled(word) and word[-1] not in "lsz":
        return word[:-1]
    return word + "e" if _measure(word) == 1 and _short(word) else word


def _replace_ending(word: str, rules: tuple[tuple[str, str], ...], least: int) -> str:
    for ending, new in rules:
        if word.endswith(ending):
            stump = word.removesuffix(ending)
            return stump + new if _measure(stump) > least else word
    return word


def _cut(word: str) -> str:
    for ending, _ in RULES_4:
        if word.endswith(ending):
            stump = word.removesuffix(ending)
            wanted = ending != "ion" or stump.endswith(("s", "t"))
            return stump if wanted and _measure(stump) > 1 else word
    return word


def _kinds(word: str) -> str:
    """``v`` for each vowel, ``c`` for each consonant; a y after a consonant is a vowel."""
    found = ""
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and found.endswith("c"))
        found += "v" if vowel else "c"
    return found


def _measure(word: str) -> int:
    """How often consonants follow vowels."""
    return _kinds(word).count("vc")


def _has_vowel(word: str) -> bool:
    return "v" in _kinds(word)


def _doubled(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _kinds(word).endswith("c")


def _short(word: str) -> bool:
    """Ends in consonant, vowel, consonant, the last no w, x or y."""
    return _kinds(word).endswith("cvc") and word[-1] not in "wxy"
