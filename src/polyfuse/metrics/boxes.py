"""Average precision of boxes as COCO counts it (Lin et al., ECCV 2014), equal to pycocotools, under weights of rows.

Over ten overlaps from .5 to .95 and 101 recalls; at most 100 boxes of a picture and label; crowds and boxes of another
size are neither right nor wrong. Equal scores of several pictures stand in the order of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100  # boxes of a picture and label
AREAS = {"": (0.0, 1e10), "_small": (0.0, 32.0**2), "_medium": (32.0**2, 96.0**2), "_large": (96.0**2, 1e10)}


@dataclass(frozen=True)
class Ranked:
    """The boxes found of one label and size, best first, over all pictures.

    Args:
        row_D: the picture of each.
        right_TD, wrong_TD: whether it is right or wrong at each overlap; neither where it does not count.
        true_N: boxes of each picture that are to be found.
    """

    row_D: np.ndarray
    right_TD: np.ndarray
    wrong_TD: np.ndarray
    true_N: np.ndarray


Box = Mapping[str, Any]


def rank_boxes(
    true: Sequence[Sequence[Box]], said: Sequence[Sequence[Box]], areas: Sequence[str] = tuple(AREAS)
) -> dict[str, dict[Any, Ranked]]:
    """Match what was found with what is true, picture by picture: size -> label -> ranked boxes.

    Args:
        true: of every picture ``[{bbox, label}]``, with ``iscrowd`` where it is one, and ``area`` where not the box's.
        said: of every picture ``[{bbox, label, score}]``.
        areas: keys of ``AREAS``.
    """
    labels = sorted({box["label"] for side in (true, said) for boxes in side for box in boxes}, key=str)
    pairs = [(_by_label(t), _by_label(s)) for t, s in zip(true, said, strict=True)]
    found: dict[str, dict[Any, Ranked]] = {area: {} for area in areas}
    for label in labels:
        sides = [(_Side.of(t.get(label, [])), _Side.of(s.get(label, []), best=True)) for t, s in pairs]
        overlaps = [_overlaps(t, s) for t, s in sides]
        for area in areas:
            found[area][label] = _ranked(sides, overlaps, AREAS[area])
    return found


@dataclass(frozen=True)
class _Side:
    """Boxes of one picture and label."""

    box_N4: np.ndarray
    area_N: np.ndarray
    crowd_N: np.ndarray
    score_N: np.ndarray

    @classmethod
    def of(cls, boxes: Sequence[Box], best: bool = False) -> _Side:
        box_N4 = np.array([box["bbox"] for box in boxes], np.float64).reshape(-1, 4)
        own = box_N4[:, 2] * box_N4[:, 3]
        score_N = np.array([box.get("score", 1.0) for box in boxes], np.float64)
        area_N = np.array([box.get("area", size) for box, size in zip(boxes, own, strict=True)], np.float64)
        crowd_N = np.array([bool(box.get("iscrowd", 0)) for box in boxes], bool)
        if not best:
            return cls(box_N4, area_N, crowd_N, score_N)
        order = np.argsort(-score_N, kind="mergesort")[:MOST]
        return cls(box_N4[order], own[order], crowd_N[order], score_N[order])


def _by_label(boxes: Sequence[Box]) -> dict[Any, list[Box]]:
    found: dict[Any, list[Box]] = {}
    for box in boxes:
        found.setdefault(box["label"], []).append(box)
    return found


def _overlaps(true: _Side, said: _Side) -> np.ndarray:
    """Intersection over union of what was found with what is true (D, G); of a crowd, over what was found."""
    one, other = said.box_N4[:, None], true.box_N4[None]
    low = np.maximum(one[..., :2], other[..., :2])
    high = np.minimum(one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:])
    inside = np.prod((high - low).clip(0), axis=-1)
    own, all_ = one[..., 2] * one[..., 3], other[..., 2] * other[..., 3]
    union = np.where(true.crowd_N, own, own + all_ - inside)
    return inside / np.maximum(union, np.finfo(float).tiny)


def _ranked(sides: Sequence[tuple[_Side, _Side]], overlaps: Sequence[np.ndarray], area: tuple[float, float]) -> Ranked:
    scores, rows, rights, wrongs, counts = [], [], [], [], np.zeros(len(sides))
    for row, ((true, said), iou_DG) in enumerate(zip(sides, overlaps, strict=True)):
        ignored = true.crowd_N | (true.area_N < area[0]) | (true.area_N > area[1])
        counts[row] = (~ignored).sum()
        if not len(said.score_N):
            continue
        order = np.argsort(ignored, kind="mergesort")
        right, void = _match(iou_DG[:, order], ignored[order], true.crowd_N[order])
        outside = (said.area_N < area[0]) | (said.area_N > area[1])
        void |= ~right & outside
        scores.append(said.score_N)
        rows.append(np.full(len(said.score_N), row))
        rights.append(right & ~void)
        wrongs.append(~right & ~void)
    if not scores:
        return Ranked(np.zeros(0, int), np.zeros((10, 0), bool), np.zeros((10, 0), bool), counts)
    best = np.argsort(-np.concatenate(scores), kind="mergesort")
    right_TD, wrong_TD = np.concatenate(rights, 1)[:, best], np.concatenate(wrongs, 1)[:, best]
    return Ranked(np.concatenate(rows)[best], right_TD, wrong_TD, counts)


def _match(iou_DG: np.ndarray, ignored_G: np.ndarray, crowd_G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At each overlap (T, D): whether a box found meets a true one, best first, and whether that one does not count."""
    right, void = (np.zeros((len(OVERLAPS), len(iou_DG)), bool) for _ in range(2))
    if not iou_DG.shape[1]:
        return right, void
    for at, least in enumerate(OVERLAPS):
        taken = np.zeros(len(ignored_G), bool)
        for n, iou_G in enumerate(iou_DG):
            open_G = (~taken | crowd_G) & (iou_G >= min(least, 1 - 1e-10))
            for among in (open_G & ~ignored_G, open_G & ignored_G):  # what counts before what does not
                if among.any():
                    value = np.where(among, iou_G, -1.0)
                    which = int(
                        len(value) - 1 - value[::-1].argmax()
                    )  # of equal ones the last, as pycocotools takes it
                    taken[which] = True
                    right[at, n], void[at, n] = True, ignored_G[which]
                    break
    return right, void


def average_precision(ranked: Ranked, weights_N: np.ndarray) -> np.ndarray:
    """Average precision at each overlap (T,) under weights of pictures; NaN where nothing is to be found."""
    total = float(ranked.true_N @ weights_N)
    if not total > 0:
        return np.full(len(OVERLAPS), np.nan)
    weight_D = weights_N[ranked.row_D]
    right_TD, wrong_TD = (np.cumsum(side * weight_D, axis=1) for side in (ranked.right_TD, ranked.wrong_TD))
    found = np.zeros(len(OVERLAPS))
    if not right_TD.shape[1]:
        return found
    precision_TD = right_TD / np.maximum(right_TD + wrong_TD, np.spacing(1))
    precision_TD = np.maximum.accumulate(precision_TD[:, ::-1], axis=1)[:, ::-1]
    recall_TD = right_TD / total
    for at in range(len(OVERLAPS)):
        places = np.searchsorted(recall_TD[at], RECALLS, side="left")
        found[at] = np.append(precision_TD[at], 0.0)[places].mean()
    return found


def box_metrics(ranked: Mapping[str, Mapping[Any, Ranked]], weights: np.ndarray) -> dict[str, np.ndarray]:
    """``ap``, ``ap50``, ``ap75`` and those by size, means over labels, under weights of pictures (..., N)."""
    flat, shape = np.atleast_2d(weights), np.shape(weights)[:-1]
    found: dict[str, np.ndarray] = {}
    for area, labels in ranked.items():
        each_RLT = np.array([[average_precision(one, row) for one in labels.values()] for row in flat])
        each_RLT = each_RLT.reshape(len(flat), -1, len(OVERLAPS))
        found[f"ap{area}"] = _mean(each_RLT.mean(-1))
        if not area:
            found["ap50"], found["ap75"] = _mean(each_RLT[..., 0]), _mean(each_RLT[..., 5])
    return {name: values.reshape(shape) for name, values in found.items()}


def _mean(values_RL: np.ndarray) -> np.ndarray:
    """Mean over labels that are there; NaN where none is."""
    known = np.isfinite(values_RL)
    total = np.where(known, values_RL, 0.0).sum(-1)
    return np.where(known.any(-1), total / np.maximum(known.sum(-1), 1), np.nan)
