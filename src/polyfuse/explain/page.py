"""Explanations as one HTML page: bars of inputs and columns, words in colour, pictures and sounds under a map."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from polyfuse.data.cells import clip
from polyfuse.data.cells.picture import decode
from polyfuse.data.cells.sound import open_sound
from polyfuse.data.cells.source import BadCell, Limits, load_media
from polyfuse.evaluation.glossary import format_signed
from polyfuse.evaluation.html import environment
from polyfuse.explain.attribution import Attribution
from polyfuse.explain.rows import Explanation, Explanations
from polyfuse.explain.terminal import of, part_name

SIDE = 280  # pixels of a picture's longer side
FRAME = 128  # of one picture of a video
FOR, AGAINST = np.array((255, 96, 0), np.float32), np.array((36, 87, 197), np.float32)
WIDE, HIGH = 640, 90  # of a sound
CUT = 40  # characters of a cell beside a bar
Shown = list[tuple[str, str]]
"""Pictures as data URIs, each with its caption."""


def page(found: Explanations) -> str:
    """The whole page; it loads nothing and runs no script."""
    view: dict[str, Any] = {"rows": [view_of(one) for one in found], "title": found.model, "table": found.table}
    view["signed"] = any(not one.shares for one in found)
    return environment().get_template("explain.html").render(view)


def view_of(one: Explanation) -> dict[str, Any]:
    """What ``explained.html`` shows of an explanation."""
    return {"one": one, "parts": [_part(one, part) for part in one.parts if len(part.scores)]}


def _part(one: Explanation, part: Attribution) -> dict[str, Any]:
    most = max(float(np.abs(part.scores).max()), 1e-12)
    view: dict[str, Any] = {"kind": part.kind, "name": of(part), "bars": [], "words": [], "pictures": []}
    view |= {"axis": [], "cells": _plain_cells(one) if part.kind == "column" else {}}
    if part.kind in _DRAWN:
        try:
            item = one.item(part.column, part.slot)
            view["pictures"] = _DRAWN[part.kind](item, part, part.scores / most)
        except BadCell:  # it was read a moment ago
            return view
        if part.kind == "audio":
            view["axis"] = [f"{second:.2f} s" for second in np.linspace(0, part.spans[-1][1], 5)]
    elif part.kind == "text" and part.spans:
        view["words"] = _words(str(one.record[part.column]), part, most)
    else:
        order = np.argsort(-np.abs(part.scores), kind="stable")
        scores = [(part_name(part, at), float(part.scores[at])) for at in order]
        view["bars"] = [(name, format_signed(score), 50 * abs(score) / most, score > 0) for name, score in scores]
    return view


def _plain_cells(one: Explanation) -> dict[str, str]:
    """Column -> its cell in a few characters, of columns that hold no media."""
    texts = {c: str(one.record[c]) for c, kind in one.kinds.items() if kind not in (*_DRAWN, "vector")}
    return {c: text if len(text) <= CUT else text[: CUT - 1] + "…" for c, text in texts.items()}


def _words(text: str, part: Attribution, most: float) -> list[tuple[str, float, str]]:
    """Pieces of the text: what it is, its score relative to the greatest, and the score in words."""
    found, at = list[tuple[str, float, str]](), 0
    for (start, end), score in sorted(zip(part.spans, part.scores, strict=True), key=lambda pair: pair[0]):
        found += [(text[at : int(start)], 0.0, "")] if start > at else []
        found.append((text[max(at, int(start)) : int(end)], float(score) / most, format_signed(score)))
        at = max(at, int(end))
    return [*found, (text[at:], 0.0, "")]


def _uri(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _tinted(ground: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Orange where heat is above 0, blue where it is below."""
    alpha = 0.8 * np.abs(heat).clip(0, 1)[..., None]
    return ground * (1 - alpha) + np.where(heat[..., None] > 0, FOR, AGAINST) * alpha


def _pale(picture: Image.Image) -> np.ndarray:
    """The picture in middle greys, on which both colours show (H, W, 3)."""
    return 75 + 0.55 * np.asarray(picture.convert("L").convert("RGB"), np.float32)


def _scaled(picture: Image.Image, side: int) -> Image.Image:
    times = side / max(picture.size)
    size = max(1, round(picture.width * times)), max(1, round(picture.height * times))
    return picture.resize(size, Image.Resampling.NEAREST if times >= 2 else Image.Resampling.LANCZOS)


def _picture(item: Any, part: Attribution, heat_P: np.ndarray) -> Shown:
    """The picture in grey under its map."""
    picture = _scaled(decode(load_media(item), Limits()).convert("RGB"), SIDE)
    ground = _pale(picture)
    ends = np.array(part.spans)
    shape = tuple(max(1, len(np.unique(ends[:, axis].round(6)))) for axis in (1, 0))
    grid = np.zeros(shape, np.float32)
    rows, columns = (np.unique(ends[:, axis].round(6), return_inverse=True)[1] for axis in (1, 0))
    np.add.at(grid, (rows, columns), heat_P)
    way = Image.Resampling.BILINEAR if max(shape) > 1 else Image.Resampling.NEAREST
    sides = np.array([*picture.size, *picture.size])
    left, top, right, bottom = (np.array([*ends[:, :2].min(0), *ends[:, 2:].max(0)]) * sides).round().astype(int)
    heat = np.zeros((picture.height, picture.width), np.float32)
    seen = Image.fromarray(grid).resize((max(1, right - left), max(1, bottom - top)), way)
    heat[top:bottom, left:right] = np.asarray(seen)[: bottom - top, : right - left]
    return [(_uri(np.asarray(picture)), ""), (_uri(_tinted(ground, heat)), "")]


def _sound(item: Any, part: Attribution, heat_P: np.ndarray) -> Shown:
    """The wave of the sound on a ground that is tinted where stretches speak."""
    seconds = part.spans[-1][1]
    with open_sound(load_media(item), Limits()) as sound:
        samples = np.abs(sound.read(0, max(1, round(min(seconds, sound.seconds) * sound.rate)))).max(axis=1)
    edges = np.linspace(0, len(samples), WIDE + 1).astype(int)[:-1]
    height = np.maximum.reduceat(samples, np.minimum(edges, len(samples) - 1))
    height, heat = height / max(float(height.max()), 1e-6), np.zeros(WIDE, np.float32)
    for (start, end), one in zip(part.spans, heat_P, strict=True):
        heat[int(WIDE * start / seconds) : int(np.ceil(WIDE * end / seconds))] = one
    ground = _tinted(np.full((HIGH, WIDE, 3), 250, np.float32), np.broadcast_to(heat, (HIGH, WIDE)))
    middle = np.abs(np.arange(HIGH)[:, None] - (HIGH - 1) / 2)
    return [(_uri(np.where((middle <= np.maximum(0.5, height * (HIGH / 2 - 4)))[..., None], (50, 62, 78), ground)), "")]


def _video(item: Any, part: Attribution, heat_P: np.ndarray) -> Shown:
    """A picture from the middle of each stretch, tinted by what the stretch says."""
    content = load_media(item)
    seconds = max(clip.describe(content).seconds, 1e-6)
    shares = [min(1.0, (start + end) / 2 / seconds) for start, end in part.spans]
    found = list[tuple[str, str]]()
    for n, (_, picture) in enumerate(clip.moments(content, shares)):
        small = _pale(_scaled(Image.fromarray(picture), FRAME))
        tinted = _tinted(small, np.full(small.shape[:2], 0.8 * heat_P[n]))
        found.append((_uri(tinted), f"{part_name(part, n)}: {format_signed(part.scores[n])}"))
    return found


_DRAWN: dict[str, Callable[[Any, Attribution, np.ndarray], Shown]] = {
    "image": _picture,
    "audio": _sound,
    "video": _video,
}
