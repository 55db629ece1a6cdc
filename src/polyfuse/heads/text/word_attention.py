"""Attention of each generated word over the inputs and their tokens, as shares that sum to 1.

A share says where a decoder looked, not why it wrote what it wrote (Jain and Wallace, NAACL 2019); a token after a
fusion, or behind deep layers, knows of its neighbours as well.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from polyfuse.data.cells.spelling import Speller
from polyfuse.data.cells.words import ALONE
from polyfuse.heads.text.memory import token_grid
from polyfuse.records import Tokens

_CHUNK = re.compile(rf"[{ALONE}]|[^\s{ALONE}]+")


@dataclass(frozen=True)
class InputAttention:
    """What the tokens of one input got.

    Args:
        share_WT: of each word's attention (words, tokens).
        grid: shape of the tokens behind ``prefix``: rows and columns of a picture, steps of time; () where unordered.
        prefix: leading tokens outside the grid; there may be others behind it.
        span_T2: where in the cell each token lies, in characters or seconds, where that is known.
    """

    share_WT: np.ndarray
    grid: tuple[int, ...] = ()
    prefix: int = 0
    span_T2: np.ndarray | None = None

    @property
    def total_W(self) -> np.ndarray:
        """Share of each word's attention that the input got (words,)."""
        return self.share_WT.sum(1)

    @property
    def on_grid(self) -> np.ndarray | None:
        """The shares as maps (words, *grid); None without a grid."""
        return self.share_WT[:, self.inside].reshape(-1, *self.grid) if self.grid else None

    @property
    def inside(self) -> slice:
        """Which tokens lie in the grid: none without one."""
        return slice(self.prefix, self.prefix + (prod(self.grid) if self.grid else 0))


@dataclass(frozen=True)
class TextAttention:
    """What one text was written about. The shares of a word sum to 1; all are 0 where there was nothing to look at.

    Args:
        text: as it was written.
        words: of the text, marks apart, each Chinese or Japanese character alone.
        by_input: input -> its share, 0 where the row misses it.
        elsewhere_W: share of tokens that are no input's: those that a fusion made of all, or that stand for an absent
            input.
        row: number in the table.
    """

    text: str
    words: list[str]
    by_input: dict[str, InputAttention]
    elsewhere_W: np.ndarray
    row: int = 0

    def without(self, gone: Sequence[str]) -> TextAttention:
        """The same where some inputs are absent: what was given to their stand-ins went elsewhere."""
        looks, elsewhere_W = dict(self.by_input), self.elsewhere_W
        for name in looks.keys() & set(gone):
            elsewhere_W = elsewhere_W + looks[name].total_W
            looks[name] = replace(looks[name], share_WT=np.zeros_like(looks[name].share_WT))
        return replace(self, by_input=looks, elsewhere_W=elsewhere_W)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, shares to four digits."""
        return {
            "row": self.row,
            "text": self.text,
            "words": self.words,
            "inputs": {
                name: {
                    "grid": list(look.grid),
                    "prefix": look.prefix,
                    "spans": None if look.span_T2 is None else look.span_T2.round(4).tolist(),
                    "share": look.share_WT.astype(float).round(4).tolist(),
                }
                for name, look in self.by_input.items()
            },
            "elsewhere": self.elsewhere_W.astype(float).round(4).tolist(),
        }


def attention_by_word(
    share_NTS: np.ndarray, parts: Sequence[tuple[str | None, Tokens]], ids: Sequence[Sequence[int]], speller: Speller
) -> list[TextAttention]:
    """The shares of some texts by word and by input.

    Args:
        share_NTS: of each unit's attention, over all tokens.
        parts: whose tokens these are, in order; None for those of no input.
        ids: units of each text.
    """
    found = []
    for row, units in enumerate(ids):
        text = speller.text(units)
        words, share_WN = units_to_words(text, speller.spans(units))
        share_WS = share_WN @ share_NTS[row, : len(units)].astype(np.float64)
        looks, elsewhere_W, start = dict[str, InputAttention](), np.zeros(len(words)), 0
        for name, tokens in parts:
            own_WT = share_WS[:, start : start + tokens.x_BTD.shape[1]]
            start += tokens.x_BTD.shape[1]
            if name is None:
                elsewhere_W = elsewhere_W + own_WT.sum(1)
            else:
                looks[name] = _input_attention(own_WT, tokens, row)
        found.append(TextAttention(text, words, looks, elsewhere_W))
    return found


def _input_attention(share_WT: np.ndarray, tokens: Tokens, row: int) -> InputAttention:
    """One row's share of one input, without the padding behind a sequence."""
    grid = token_grid(tokens)
    span_T2 = None if tokens.span_BT2 is None else tokens.span_BT2[row].float().cpu().numpy()
    if len(grid) != 1:
        return InputAttention(share_WT, grid, tokens.prefix, span_T2)
    real_T = np.flatnonzero(tokens.mask_BT[row].cpu().numpy())
    count = max(tokens.prefix, int(real_T[-1]) + 1 if len(real_T) else 0)
    kept = None if span_T2 is None else span_T2[:count]
    return InputAttention(share_WT[:, :count], (count - tokens.prefix,), tokens.prefix, kept)


def units_to_words(text: str, spans: Sequence[tuple[int, int]]) -> tuple[list[str], np.ndarray]:
    """The words of a text, and the weight of each unit in each of them (words, units), 1 for a word together.

    Args:
        spans: characters of the text that each unit adds.
    """
    places = find_words(text)
    own, following = [], (len(text), len(text))
    for start, end in reversed(spans):  # what adds nothing by itself belongs to what follows
        following = (start, end) if end > start else following
        own.append(following)
    start_N, end_N = np.array(own[::-1], dtype=int).reshape(-1, 2).T
    weight_WN = np.zeros((len(places), len(spans)))
    for w, (start, end) in enumerate(places):
        weight_WN[w] = (start_N < end) & (end_N > start)
    return [text[start:end] for start, end in places], weight_WN / np.maximum(weight_WN.sum(1, keepdims=True), 1)


def find_words(text: str) -> list[tuple[int, int]]:
    """Where the words of a text lie, and the marks before and behind them."""
    places = []
    for chunk in _CHUNK.finditer(text):
        start, end = chunk.span()
        inner = [at for at in range(start, end) if unicodedata.category(text[at])[0] not in "PS"]
        first, last = (inner[0], inner[-1] + 1) if inner else (start, end)
        places += [place for place in ((start, first), (first, last), (last, end)) if place[0] < place[1]]
    return places
