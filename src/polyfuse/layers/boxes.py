"""Boxes as corners (x1, y1, x2, y2): overlaps, and the suppression of doubles."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SMALL = 1e-7


def overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union, and its generalised form, of boxes (..., 4) with boxes (..., 4): (...).

    Rezatofighi et al., Generalized intersection over union, CVPR 2019.
    """
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    inside = (high - low).clamp_min(0).prod(-1)
    union = _area(one) + _area(other) - inside
    iou = inside / union.clamp_min(SMALL)
    hull = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    around = hull.clamp_min(0).prod(-1).clamp_min(SMALL)
    return iou, iou - (around - union) / around


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(-1)


def keep_best(boxes_N4: np.ndarray, score_N: np.ndarray, kind_N: np.ndarray, most: float) -> np.ndarray:
    """Positions of boxes without doubles, best first: of boxes of one kind that overlap more, the best stays.

    Args:
        boxes_N4: corners.
        most: intersection over union.
    """
    order = np.argsort(-score_N, kind="stable")
    apart = (boxes_N4.max(initial=0.0) - boxes_N4.min(initial=0.0) + 1) * kind_N[order, None]  # kinds never meet
    boxes = boxes_N4[order] + apart
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    stays = np.ones(len(order), dtype=bool)
    for at in range(len(order)):
        if not stays[at]:
            continue
        rest = boxes[at + 1 :]
        sides = np.minimum(boxes[at, 2:], rest[:, 2:]) - np.maximum(boxes[at, :2], rest[:, :2])
        inside = np.prod(sides.clip(0), axis=1)
        stays[at + 1 :] &= inside <= most * (area[at] + area[at + 1 :] - inside)
    return order[stays]
