"""Overlaps of boxes by hand, and the suppression of doubles."""

from __future__ import annotations

import numpy as np
import torch

from polyfuse.layers.boxes import keep_best, overlap


def test_overlaps_equal_those_counted_by_hand():
    one = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4], [0, 0, 2, 2], [0, 0, 0, 0]])
    other = torch.tensor([[0.0, 0, 4, 4], [2, 2, 6, 6], [4, 0, 6, 2], [0, 0, 0, 0]])
    iou, general = overlap(one, other)
    assert torch.allclose(iou, torch.tensor([1.0, 4 / 28, 0, 0]))
    assert torch.allclose(general, torch.tensor([1.0, 4 / 28 - 8 / 36, -4 / 12, -1.0]))


def test_of_doubles_of_one_kind_the_best_stays():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40], [0, 0, 10, 10], [0, 0, 0, 0]], float)
    score, kind = np.array([0.5, 0.9, 0.4, 0.6, 0.1]), np.array([0, 0, 0, 1, 0])
    assert keep_best(boxes, score, kind, 0.6).tolist() == [1, 3, 2, 4]
    assert keep_best(boxes, score, kind, 0.95).tolist() == [1, 3, 0, 2, 4]
    assert keep_best(boxes[:0], score[:0], kind[:0], 0.5).tolist() == []
