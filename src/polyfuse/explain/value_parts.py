"""Scores of an encoder's values as scores of parts of cells: columns, words, patches, stretches, pictures of videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor

from polyfuse.data.cells.items import split_media
from polyfuse.data.cells.picture import decode
from polyfuse.data.cells.source import Limits, load_media
from polyfuse.explain.attribution import Attribution
from polyfuse.explain.occlusion import WORD
from polyfuse.model.servant import BundleServant
from polyfuse.records import Batch
from polyfuse.runtime.servant import Record

WHOLE = "all of it"  # a score that belongs to no part
TELLING = 256  # pixels of the longer side of a picture that tells places


def parts_of(
    servant: BundleServant,
    batch: Batch,
    record: Record,
    found: Mapping[str, Mapping[str, Tensor]],
    *,
    patches: int,
    stretches: int,
) -> list[Attribution]:
    """What each part of a row's cells scored, over all encoders that read it.

    Args:
        batch: of that one row.
        found: reader -> place -> scores of its values, see ``encoder_values``.
        patches, stretches: into which pixels and frames of sound are summed.
    """
    recipe = servant.bundle.recipe
    columns, cells = dict[str, float](), list[Attribution]()
    for reader, scores in found.items():
        item, transform = recipe.readers[reader], servant.bundle.transforms[f"in:{reader}"]
        index_K = batch.inputs[reader].index_BK[0].tolist()
        fields: Any = {k: v.cpu().numpy() for k, v in batch.inputs[reader].fields.items()}  # type: ignore[union-attr]
        by_place = {place: value.float().cpu().numpy() for place, value in scores.items()}
        if "numbers" in fields and "categories" in fields:
            for column, score in _of_columns(transform, by_place).items():
                columns[column] = columns.get(column, 0.0) + score
            continue
        slots = [(c, n) for c in item.columns for n in range(recipe.data.slots.get(c, 1))]
        slots = slots if len(slots) == len(index_K) else [(c, 0) for c in item.columns]
        for (column, slot), at in zip(slots, index_K, strict=True):
            if at < 0:
                continue
            own = {place: _of_cell(value, len(next(iter(fields.values()))), at) for place, value in by_place.items()}
            here = {name: value[at] for name, value in fields.items()}
            cell = _Cell(column, slot, record, transform, here, patches, stretches)
            made = cell.parts(own)
            if made is None:
                columns[column] = columns.get(column, 0.0) + sum(float(value.sum()) for value in own.values())
            else:
                cells += made
    listed = [Attribution("column", "", np.array(list(columns.values())), labels=list(columns))] if columns else []
    return [*listed, *_merged(cells)]


def _of_cell(value: np.ndarray, count: int, at: int) -> np.ndarray:
    """The scores of one of U cells, whether they lie along the first axis or are flattened into it."""
    return value.reshape(count, -1, *value.shape[1:])[at] if len(value) != count else value[at]


def _of_columns(transform: Any, by_place: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Scores of numbers, flags and categories -> of the columns that they are of."""
    numbers, named = column_names(transform)
    found = dict.fromkeys(transform.names, 0.0)
    for place, value in by_place.items():
        names = numbers if place == "field:numbers" else named
        for name, score in zip(names, value.reshape(len(names), -1).sum(1), strict=True):
            found[name] += float(score)
    return found


def column_names(transform: Any) -> tuple[list[str], list[str]]:
    """The column of each number that a transform of columns gives, flags among them, and of each category."""
    measured = [name for name, kind in zip(transform.names, transform.kinds, strict=True) if kind.width]
    named = [name for name, kind in zip(transform.names, transform.kinds, strict=True) if kind.size]
    return [measured[owner] for owner in transform.facts()["owners"]], named


class _Cell:
    """One cell of a row: its fields, and how scores of its values become those of its parts."""

    def __init__(
        self, column: str, slot: int, record: Record, transform: Any, fields: Any, patches: int, stretches: int
    ):
        self.column, self.slot, self.transform, self.fields = column, slot, transform, fields
        self.text, self.record, self.most, self.stretches = record.get(column), record, patches, stretches

    def parts(self, own: Mapping[str, np.ndarray]) -> list[Attribution] | None:
        """None where it is not known how its values lie."""
        if "field:pixels" in own:
            return [self._made("image", *self._patches(own["field:pixels"].sum(0)))]
        if "field:frames" in own:
            count = len(self.fields["times"])
            scores = own["field:frames"].reshape(len(own["field:frames"]), -1).sum(1)
            return [self._made("video", scores[:count], self._moments())]
        if "wave" in self.fields:
            frames = [value for place, value in own.items() if place.startswith("mel:") or place == "field:wave"]
            return [self._made("audio", *self._over_time(frames))] if frames else None
        if "ids" in self.fields and "span" in self.fields:
            return self._words(own)
        return None

    def _made(self, kind: str, scores: np.ndarray, spans: Sequence[tuple[float, ...]]) -> Attribution:
        return Attribution(kind, self.column, scores, spans, slot=self.slot)

    def _patches(self, scores_HW: np.ndarray) -> tuple[np.ndarray, list[tuple[float, ...]]]:
        high, wide = scores_HW.shape
        side = max(1.0, max(high, wide) / self.most)
        rows, columns = (_edges(length, round(length / side)) for length in (high, wide))
        scores = [
            float(scores_HW[top:bottom, left:right].sum())
            for top, bottom in pairwise(rows)
            for left, right in pairwise(columns)
        ]
        item = split_media(self.record[self.column])[self.slot]
        return np.array(scores), squares_of(self.transform, item, (high, wide), rows, columns)

    def _moments(self) -> list[tuple[float, ...]]:
        times = self.fields["times"].astype(float)
        middle = (times[1:] + times[:-1]) / 2
        step = float(np.diff(times).mean()) if len(times) > 1 else 1.0
        return list(pairwise([max(0.0, float(times[0]) - step / 2), *middle.tolist(), float(times[-1]) + step / 2]))

    def _over_time(self, frames: Sequence[np.ndarray]) -> tuple[np.ndarray, list[tuple[float, ...]]]:
        seconds = max(1, int(self.fields["lengths"])) / self.transform.facts()["rate"]
        edges = np.linspace(0, seconds, self.stretches + 1)
        scores = np.zeros(self.stretches)
        for value in frames:
            over = value.reshape(len(value), -1).sum(1)
            step = 1 / self.transform.facts()["rate"] if value.ndim == 1 else 0.01
            at = np.minimum((np.arange(len(over)) * step / seconds * self.stretches).astype(int), self.stretches - 1)
            np.add.at(scores, at, over)
        return scores, [(float(start), float(end)) for start, end in pairwise(edges)]

    def _words(self, own: Mapping[str, np.ndarray]) -> list[Attribution]:
        """Scores of tokens summed into words; what belongs to no word stands by itself."""
        text, span_T2 = str(self.text), self.fields["span"]
        by_token = [value.reshape(len(value), -1).sum(1) for value in own.values() if len(value) == len(span_T2)]
        rest = sum(float(value.sum()) for value in own.values() if len(value) != len(span_T2))
        scores, spans, beside = words_of(text, span_T2, np.sum(by_token, axis=0)) if by_token else ([], [], 0.0)
        labels = [text[int(start) : int(end)] for start, end in spans]
        found = [Attribution("text", self.column, np.array(scores), spans, labels, self.slot)] if spans else []
        whole = Attribution("text", self.column, np.array([rest + beside]), labels=[WHOLE], slot=self.slot)
        return [*found, whole] if abs(rest + beside) > 1e-9 else found


def words_of(text: str, span_T2: np.ndarray, score_T: np.ndarray) -> tuple[np.ndarray, list[tuple[float, ...]], float]:
    """Scores of tokens that lie somewhere in a text -> of its words, where these lie, and what belongs to none."""
    words = [match.span() for match in WORD.finditer(text)]
    starts = np.array([start for start, _ in words])
    scores, rest = np.zeros(len(words)), 0.0
    for score, (start, end) in zip(score_T, span_T2.astype(int), strict=True):
        piece = text[start:end]
        first = start + len(piece) - len(piece.lstrip())  # subwords may begin with the blank before
        at = int(np.searchsorted(starts, first, side="right")) - 1
        if end > start and at >= 0:
            scores[at] += float(score)
        else:
            rest += float(score)
    return scores, [(float(start), float(end)) for start, end in words], rest


def squares_of(
    transform: Any, item: Any, seen: tuple[int, int], rows: Sequence[float], columns: Sequence[float]
) -> list[tuple[float, ...]]:
    """Where squares of what an encoder sees lie in the picture itself, row by row, as shares of its width and height.

    Transforms may cut a picture or frame it, so a picture of its size that tells its places goes through them.

    Args:
        item: the picture.
        seen: height and width of what the encoder sees, in which ``rows`` and ``columns`` are the edges of squares.
    """
    wide, high = decode(load_media(item), Limits()).size
    scale = min(1.0, TELLING / max(wide, high))
    wide, high = max(1, round(wide * scale)), max(1, round(high * scale))
    told = np.full((high, wide, 3), 255, np.uint8)
    told[..., 0] = ((np.arange(wide) + 0.5) / wide * 255).astype(np.uint8)
    told[..., 1] = ((np.arange(high)[:, None] + 0.5) / high * 255).astype(np.uint8)
    made = transform.encode([told], Limits())[0]
    ends = [np.array(columns) / seen[1], np.array(rows) / seen[0]]
    if isinstance(made, np.ndarray) and made.ndim == 3 and made.shape[2] == 3:
        inside = made[..., 2] > 250  # what is no edge of a frame
        for n, axis in enumerate((0, 1)):
            there = np.flatnonzero(inside.any(axis))
            if len(there) > 1:
                values = [
                    float(np.take(made[..., n], at, 1 - axis)[np.take(inside, at, 1 - axis)].mean()) for at in there
                ]
                slope, start = np.polyfit((there + 0.5) / made.shape[1 - n], np.array(values) / 255, 1)
                ends[n] = start + slope * ends[n]
    across, down = (end.clip(0, 1).tolist() for end in ends)
    return [(left, top, right, bottom) for top, bottom in pairwise(down) for left, right in pairwise(across)]


def _edges(length: int, count: int) -> list[int]:
    return np.linspace(0, length, max(1, min(count, length)) + 1).round().astype(int).tolist()


def _merged(parts: Sequence[Attribution]) -> list[Attribution]:
    """Parts that lie at the same places of the same cell, as two encoders read them, added up."""
    found: dict[Any, Attribution] = {}
    for part in parts:
        key = (part.kind, part.column, part.slot, tuple(part.spans), tuple(part.labels))
        before = found.get(key)
        scores = part.scores if before is None else before.scores + part.scores
        found[key] = Attribution(part.kind, part.column, scores, part.spans, part.labels, part.slot)
    return list(found.values())
