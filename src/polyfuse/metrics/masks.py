"""Metrics of masks from counts of pixels: mean intersection over union, Dice and pixel accuracy, under row weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyfuse.metrics.weighted import ratio

IGNORED = 255  # value of pixels that count nowhere


def count_pixels(true: Sequence[np.ndarray], said: Sequence[np.ndarray], classes: Sequence[int]) -> np.ndarray:
    """Pixels of every picture and class that are right, that were said, and that are true: (N, C, 3).

    Raises:
        ValueError: masks of different sizes.
    """
    found = np.zeros((len(true), len(classes), 3), np.int64)
    values = np.asarray(classes, np.int64)
    for row, (one, other) in enumerate(zip(true, said, strict=True)):
        if one.shape != other.shape:
            raise ValueError(f"row {row}: a mask of {one.shape} is true and one of {other.shape} was said")
        counts = one != IGNORED
        one, other = one[counts], other[counts]
        for at, side in enumerate((one[one == other], other, one)):
            found[row, :, at] = np.bincount(side, minlength=256)[values]
    return found


def mask_metrics(counts_NC3: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """``miou``, ``dice`` and ``pixel_accuracy`` under weights of pictures (..., N).

    The first two are means over classes that are true or were said, each over all pixels of all pictures.
    """
    right, said, true = (weights @ counts_NC3[..., at] for at in range(3))
    there = said + true > 0
    iou, dice = ratio(right, said + true - right), ratio(2 * right, said + true)
    return {
        "miou": ratio(np.where(there, iou, 0.0).sum(-1), there.sum(-1)),
        "dice": ratio(np.where(there, dice, 0.0).sum(-1), there.sum(-1)),
        "pixel_accuracy": ratio(right.sum(-1), true.sum(-1)),
    }
