"""Text -> the tokens that each family of metrics counts.

``caption_words`` follows the convention of image captioning (Chen et al., Microsoft COCO captions, 2015): lower case,
Penn Treebank tokens as Stanford CoreNLP makes them, punctuation left out. ``mteval_words`` are those of mteval-v13a, on
which sacreBLEU counts (Post, A call for clarity in reporting BLEU scores, WMT 2018).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

CLITIC = r"(?:s|m|d|re|ve|ll)(?!\w)"
# scripts that write no spaces between words: Han, kana, Thai, Lao, Khmer, Burmese
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)

_UNSPACED = re.compile(f"[{UNSPACED}]")
_LETTERS = re.compile(r"[^\W\d_]")
_QUOTES = str.maketrans('\u2018\u2019\u201b\u201c\u201d\u201e"', "'''    ")
_BRACKETS = str.maketrans(
    {"(": " -lrb- ", ")": " -rrb- ", "[": " -lsb- ", "]": " -rsb- ", "{": " -lcb- ", "}": " -rcb- "}
)
_TWO_WORDS = re.compile(
    r"(?<!\w)(can)(not)(?!\w)|(?<!\w)(gon|wan)(na)(?!\w)|(?<!\w)(got)(ta)(?!\w)|(?<!\w)(lem|gim)(me)(?!\w)"
    r"|(?<!\w)('t)(is|was)(?!\w)|(?<!\w)(y')(all)(?!\w)"
)
_NOT = re.compile(r"(?<=\w)n't(?!\w)")
_ABBREVIATED = ("mr", "mrs", "ms", "dr", "st", "jr", "sr", "prof", "vs", "etc", "inc", "ltd", "co", "mt", "ft")
_CAPTION = re.compile(
    r"-[lr][rsc]b-"  # brackets, which the convention's own list of punctuation fails to remove: it has them in capitals
    r"|https?://\S+|www\.\S+|[\w.+-]+@[\w-]+\.[\w.-]*\w"
    r"|(?<![\w.])(?:[^\W\d_]\.){2,}|(?<!\w)(?:" + "|".join(_ABBREVIATED) + r")\.|(?<!\w)no\.(?=\s*\d)"
    r"|n't(?!\w)|'(?:" + CLITIC + r"|n'|t(?=\s))|y'(?=\s)"
    r"|(?<!\w)[-+]?\d+(?:[.,:/]\d+)+(?!\w)|(?<![\w-])-\d+(?!\w)"
    r"|[#@]?\w+(?:[-/.&](?=\w)\w+|'(?!" + CLITIC + r")\w+)*"
    r"|[^\w\s]"
)
_SIMPLE = re.compile(r"[a-z ,]+\.?\s*")
_LETTERS_ALONE = re.compile(r"[A-Za-z ,.]+")
_RARE = re.compile(r"(?<!\w)(?:cannot|gonna|wanna|gotta|lemme|gimme)(?!\w)|(?:" + "|".join(_ABBREVIATED) + r"|\b\w)\.")
_DROPPED = set("'`.?!,:-;\u2013\u2014\u2026\u3002\uff0c\uff1f\uff01\uff1a\uff1b\u3001\u300c\u300d\uff08\uff09")
_PUNCTUATED = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_RUNS = re.compile(r"[^\W_]+")
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_HAN = re.compile(  # as sacreBLEU has it, whose range for rare signs (U+20000 on) begins at U+2001
    "([\u2001-\u2a6d\u3400-\u4db5\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\uff00-\uffef\u2e80-\u2eff\u3000-\u303f"
    "\u31c0-\u31ef\u2f00-\u2fdf\u2ff0-\u2fff\u3100-\u312f\u31a0-\u31bf\ufe10-\ufe1f\ufe30-\ufe4f\u2600-\u26ff"
    "\u2700-\u27bf\u3200-\u33ff])"
)

Words = tuple[str, ...]


def unspaced(texts: Iterable[str]) -> bool:
    """Whether most letters are of scripts that write no spaces, and no spaces were put between their words.

    Where somebody has put them there (a segmenter), its words are the words.
    """
    letters = signs = spaces = 0
    for text in texts:
        letters += len(_LETTERS.findall(text))
        signs += len(found := _UNSPACED.findall(text))
        spaces += len(text.split()) - 1 if found else 0
    return signs > letters / 2 and spaces < signs / 6


@lru_cache(maxsize=2**16)
def caption_words(text: str) -> Words:
    """Lower-cased Penn Treebank tokens without punctuation: ``A dog doesn't run.`` -> a, dog, does, n't, run."""
    text = text.lower()
    if _SIMPLE.fullmatch(text) and not _RARE.search(text):  # most captions; the same, four times as fast
        return tuple(text.rstrip(". \n").replace(",", " ").split())
    text = text.translate(_QUOTES).translate(_BRACKETS)
    text = _TWO_WORDS.sub(lambda m: " ".join(part for part in m.groups() if part), text)
    return tuple(word for word in _CAPTION.findall(_NOT.sub(" n't", text)) if word not in _DROPPED)


@lru_cache(maxsize=2**16)
def caption_signs(text: str) -> Words:
    """As ``caption_words``, with every sign of a script without spaces a token of its own."""
    return caption_words(_UNSPACED.sub(r" \g<0> ", text))


@lru_cache(maxsize=2**16)
def plain_words(text: str) -> Words:
    """Lower-cased runs of letters and digits, as ROUGE counts: ``A dog doesn't run.`` -> a, dog, doesn, t, run."""
    return tuple(_RUNS.findall(text.lower()))


def plain_signs(text: str) -> Words:
    """As ``plain_words``, with every sign of a script without spaces a word of its own."""
    return plain_words(_UNSPACED.sub(r" \g<0> ", text))


@lru_cache(maxsize=2**16)
def mteval_words(text: str) -> Words:
    """Tokens of mteval-v13a, case kept: what sacreBLEU calls ``13a``."""
    if _LETTERS_ALONE.fullmatch(text):  # most captions; the same, much faster
        return tuple(text.replace(",", " , ").replace(".", " . ").split())
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, sign in _ENTITIES if "&" in text else ():
        text = text.replace(entity, sign)
    return _split_punctuation(f" {text} ")


@lru_cache(maxsize=2**16)
def mteval_signs(text: str) -> Words:
    """Chinese signs one by one, anything else as mteval-v13a: what sacreBLEU calls ``zh``."""
    return _split_punctuation(_HAN.sub(r" \1 ", text.strip()))


def _split_punctuation(text: str) -> Words:
    for pattern, replacement in _PUNCTUATED:
        text = pattern.sub(replacement, text)
    return tuple(text.split())


def spoken_words(text: str) -> Words:
    """Lower-cased words without punctuation but apostrophes and hyphens inside words: ``Two-tone.`` -> two-tone."""
    return tuple(spoken(text).split())


def spoken_signs(text: str) -> Words:
    """As ``spoken_words``, with every sign of a script without spaces a word of its own."""
    return tuple(_UNSPACED.sub(r" \g<0> ", spoken(text)).split())


@lru_cache(maxsize=2**16)
def spoken(text: str) -> str:
    """The text of ``spoken_words``, one space between words."""
    text = unicodedata.normalize("NFKC", text).lower().translate(_QUOTES)
    kept = re.sub(r"[^\w\s'-]|_", " ", text)
    return " ".join(re.sub(r"(?<!\w)['-]+|['-]+(?!\w)", " ", kept).split())
