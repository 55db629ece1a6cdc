"""Attention of each word drawn over its inputs: heat maps of pictures, seconds of sounds, pieces of texts.

As in Show, Attend and Tell (Xu et al., ICML 2015): a picture per word, warm where the decoder looked.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from polyfuse.data.cells.picture import decode
from polyfuse.data.cells.sound import open_sound
from polyfuse.data.cells.source import BadCell, Limits, is_missing, load_media
from polyfuse.data.media_lists import split_media
from polyfuse.data.tables import Table
from polyfuse.heads.text.word_attention import InputAttention, TextAttention
from polyfuse.model.bundle import Bundle

WORDS = 24  # of a text that are drawn
SIDE = 112  # pixels of a picture's longer side
WIDE, HIGH = 360, 34  # pixels of a sound
PIECES = 3  # of a text, those looked at most
WARM, INK, PAPER = (np.array(colour, np.float32) for colour in ((255, 96, 0), (70, 84, 100), (250, 250, 251)))


@dataclass(frozen=True)
class Word:
    """One word over one cell.

    Args:
        word: as it was written.
        share: of the word's attention that the cell got.
        picture: JPEG or PNG of the cell, warm where the decoder looked, or its data URI on a page; None of texts.
        where: in words: seconds, or pieces of a text.
    """

    word: str
    share: float
    picture: bytes | str | None = None
    where: str = ""


@dataclass(frozen=True)
class Strip:
    """The words of a text over one cell.

    Args:
        column: of the cell.
        kind: ``image``, ``audio`` or ``text``.
        words: the first of them.
        left_out: how many more there are.
    """

    column: str
    kind: str
    words: list[Word]
    left_out: int = 0


@dataclass(frozen=True)
class AttentionView:
    """What one text was written about, ready for a page.

    Args:
        text: as it was written.
        shares: input -> its share of the attention, a mean over words; what belongs to no input as None.
        strips: one per cell that can be shown.
    """

    text: str
    shares: dict[str | None, float]
    strips: list[Strip] = field(default_factory=list)


def view_attention(bundle: Bundle, table: Table, position: int, said: TextAttention) -> AttentionView:
    """What a row's text was written about.

    Args:
        position: of the row in the table.
    """
    recipe, row = bundle.recipe, table.frame.iloc[position]
    limits = Limits(**recipe.data.limits.model_dump())
    shares: dict[str | None, float] = {name: _mean(look.total_W) for name, look in said.by_input.items()}
    found = []
    for name, look in said.by_input.items():
        item = recipe.inputs[name]
        slots = [(column, n) for column in item.columns for n in range(recipe.data.slots.get(column, 1))]
        draw = _DRAWN.get(str(item.modality))
        placed = look.grid[:1] == (len(slots),) or not look.share_WT.shape[1] % len(slots)
        if draw is None or not look.total_W.any() or not placed:
            continue
        transform = bundle.transforms[f"in:{recipe.reads[name][0]}"]
        for (column, n), part in zip(slots, _by_slot(look, len(slots)), strict=True):
            items = [] if is_missing(row[column]) else split_media(row[column])
            if n < len(items) and part.total_W.any():
                cell = _Cell(items[n] if item.modality in ("image", "audio") else row[column], transform, table, limits)
                words = _attempt(draw, cell, part, said.words[:WORDS])
                found += [Strip(column, str(item.modality), words, len(said.words) - len(words))] if words else []
    return AttentionView(said.text, {**shares, None: _mean(said.elsewhere_W)}, found)


@dataclass(frozen=True)
class _Cell:
    """A cell as the table has it, and how it is read."""

    value: Any
    transform: Any
    table: Table
    limits: Limits

    def content(self) -> Any:
        """Of a medium."""
        return load_media(self.value, self.table.root, self.limits)


def _mean(share_W: np.ndarray) -> float:
    return float(share_W.mean()) if len(share_W) else 0.0


def _by_slot(look: InputAttention, count: int) -> list[InputAttention]:
    """The share of each slot of an input, whose tokens stand behind each other."""
    if count == 1:
        return [look]
    placed = look.grid[:1] == (count,)
    inside = look.inside if placed else slice(None)
    shares = np.split(look.share_WT[:, inside], count, 1)
    spans = [None] * count if look.span_T2 is None else np.split(look.span_T2[inside], count)
    grid = look.grid[1:] if placed else ()
    return [InputAttention(share_WT, grid, 0, span_T2) for share_WT, span_T2 in zip(shares, spans, strict=True)]


_Draw = Callable[[_Cell, InputAttention, list[str]], list[Word]]


def _attempt(draw: _Draw, cell: _Cell, look: InputAttention, words: list[str]) -> list[Word]:
    """Words over a cell; none where it cannot be read any more, or has no map."""
    try:
        return draw(cell, look, words)
    except BadCell:
        return []


def _picture(cell: _Cell, look: InputAttention, words: list[str]) -> list[Word]:
    """The picture as the encoder sees it, so that the map lies where it looked."""
    map_WHW = look.on_grid
    if map_WHW is None or len(look.grid) != 2:
        return []
    seen = cell.transform.encode([cell.content()], cell.limits)[0]
    if not (isinstance(seen, np.ndarray) and seen.ndim == 3 and seen.dtype == np.uint8):
        seen = np.asarray(decode(cell.content(), cell.limits))
    times = SIDE / max(seen.shape[:2])
    size = (max(1, round(seen.shape[1] * times)), max(1, round(seen.shape[0] * times)))
    way = Image.Resampling.NEAREST if times >= 2 else Image.Resampling.LANCZOS  # a small picture stays sharp
    ground = np.asarray(Image.fromarray(seen).resize(size, way), dtype=np.float32)
    found = []
    for word, map_HW, share in zip(words, map_WHW, look.total_W, strict=False):
        heat = Image.fromarray(attention_above_average(map_HW).astype(np.float32)).resize(
            size, Image.Resampling.BICUBIC
        )
        alpha = 0.6 * np.clip(np.asarray(heat), 0, 1)[..., None]
        file = io.BytesIO()
        mixed = ground * (1 - alpha) + WARM * alpha
        Image.fromarray(mixed.astype(np.uint8)).save(file, "JPEG", quality=80)
        found.append(Word(word, float(share), file.getvalue()))
    return found


def attention_above_average(map_: np.ndarray) -> np.ndarray:
    """How far above the average each share is, 0 to 1: the greatest is 1 where it is twice the average or more."""
    even = float(map_.mean())
    return np.clip((map_ - even) / max(float(map_.max()) - even, even, 1e-12), 0, 1)


def _sound(cell: _Cell, look: InputAttention, words: list[str]) -> list[Word]:
    """The wave of the sound as far as the tokens go, warm at the seconds that were looked at."""
    if look.span_T2 is None:
        return []
    span_T2, share_WT = look.span_T2[look.prefix :], look.share_WT[:, look.prefix :]
    seconds = float(span_T2[:, 1].max(initial=0))
    if seconds <= 0:
        return []
    with open_sound(cell.content(), cell.limits) as sound:
        seconds = min(seconds, sound.seconds)
        samples = np.abs(sound.read(0, max(1, round(seconds * sound.rate)))).max(axis=1)
    edges = np.linspace(0, len(samples), WIDE + 1).astype(int)[:-1]
    height = np.maximum.reduceat(samples, np.minimum(edges, len(samples) - 1))
    height = height / max(float(height.max()), 1e-6)
    found = []
    for word, share_T, share in zip(words, share_WT, look.total_W, strict=False):
        heat = attention_above_average(attention_over_time(share_T, span_T2, seconds))
        found.append(Word(word, float(share), _wave(height, heat), _seconds(heat, seconds)))
    return found


def attention_over_time(share_T: np.ndarray, span_T2: np.ndarray, seconds: float, bins: int = WIDE) -> np.ndarray:
    """At equal steps of time, the greatest share of the tokens with spans there, in seconds (bins,).

    A token keeps its share whatever its length: the last of a sound, cut short, is no more than the others.
    """
    found = np.zeros(bins)
    for share, (start, end) in zip(share_T, span_T2, strict=True):
        first = int(bins * start / seconds)
        if first < bins:  # padding lies behind the sound
            last = max(first + 1, int(np.ceil(bins * end / seconds)))
            found[first:last] = np.maximum(found[first:last], share)
    return found


def _wave(height: np.ndarray, heat: np.ndarray) -> bytes:
    """Columns of a wave on a ground that is warm where the heat is."""
    paper = PAPER * (1 - heat[:, None]) + WARM * heat[:, None]
    middle = np.abs(np.arange(HIGH)[:, None] - (HIGH - 1) / 2)
    ink = middle <= np.maximum(0.5, height * (HIGH / 2 - 2))
    picture = np.where(ink[..., None], INK, np.broadcast_to(paper, (HIGH, len(heat), 3)))
    file = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).quantize(32).save(file, "PNG", optimize=True)
    return file.getvalue()


def _seconds(heat: np.ndarray, seconds: float) -> str:
    """The stretch around the warmest point that is at least half as warm."""
    if not heat.any():
        return ""
    top = int(heat.argmax())
    cold = np.flatnonzero(heat < heat[top] / 2)
    first = int(cold[cold < top].max(initial=-1)) + 1
    last = int(cold[cold > top].min(initial=len(heat)))
    step = seconds / len(heat)
    return f"{first * step:.2f} – {last * step:.2f} s"


def _pieces(cell: _Cell, look: InputAttention, words: list[str]) -> list[Word]:
    """The pieces of a text that were looked at most."""
    if look.span_T2 is None:
        return []
    text, found = str(cell.value), []
    for word, share_T, share in zip(words, look.share_WT, look.total_W, strict=False):
        best = [int(at) for at in np.argsort(-share_T, kind="stable")[:PIECES] if share_T[at] > share_T.mean()]
        spans = [(share_T[at], text[slice(*look.span_T2[at].astype(int))].strip()) for at in best]
        where = ", ".join(f"{piece} {100 * part:.0f} %" for part, piece in spans if piece)
        found.append(Word(word, float(share), None, where))
    return found


_DRAWN: Mapping[str, _Draw] = {"image": _picture, "audio": _sound, "text": _pieces}
