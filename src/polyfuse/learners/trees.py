"""Many decision trees as four flat arrays, walked by torch a level at a time, all trees of all rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from polyfuse.learners.base import Arrays


@dataclass(frozen=True)
class Tree:
    """One tree as scikit-learn keeps it: nodes in any order, the root first.

    Args:
        feature: column that each node asks for; anything in leaves.
        threshold: rows up to it go left.
        left, right: numbers of the children; anything in leaves.
        leaf: whether a node is one.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    leaf: np.ndarray


def flatten_trees(trees: Sequence[Tree]) -> Arrays:
    """Arrays of all trees. A place is the number of an inner node, or minus one minus the number of a leaf.

    Leaves are numbered tree by tree, in the order of their nodes, which is the order for the values beside them.
    """
    places, inner, leaves = [], 0, 0
    for tree in trees:
        inside = ~tree.leaf
        places.append(np.where(inside, inner + inside.cumsum() - 1, -(leaves + tree.leaf.cumsum())))
        inner, leaves = inner + int(inside.sum()), leaves + int(tree.leaf.sum())
    children = [
        np.stack([place[t.left[~t.leaf]], place[t.right[~t.leaf]]], 1) for t, place in zip(trees, places, strict=True)
    ]
    features, thresholds = [t.feature[~t.leaf] for t in trees], [t.threshold[~t.leaf] for t in trees]
    return {
        "root_T": np.array([place[0] for place in places], np.int32),
        "child_N2": _at_least_one(np.concatenate(children).astype(np.int32)),
        "feature_N": _at_least_one(np.concatenate(features).astype(np.int32)),
        "threshold_N": _at_least_one(round_down(np.concatenate(thresholds))),
        "depth": np.array(max(_depth(tree) for tree in trees)),
    }


def _at_least_one(values: np.ndarray) -> np.ndarray:
    """Trees that are all leaves still need a node for a gather to read."""
    return values if len(values) else np.zeros((1, *values.shape[1:]), values.dtype)


def round_down(threshold_N: np.ndarray) -> np.ndarray:
    """The largest float32 not above each threshold: a float32 cell lies on the same side of both."""
    near_N = threshold_N.astype(np.float32)
    return np.where(near_N > threshold_N, np.nextafter(near_N, np.float32(-np.inf)), near_N)


def _depth(tree: Tree) -> int:
    """Levels of inner nodes."""
    at, depth = np.zeros(1, np.int64), 0
    while len(at := at[~tree.leaf[at]]):
        at, depth = np.concatenate([tree.left[at], tree.right[at]]), depth + 1
    return depth


def reached_leaves(x_BF: Tensor, arrays: dict[str, Tensor], depth: int) -> Tensor:
    """The number of the leaf that each row reaches in each tree: (B, F) -> (B, T).

    Args:
        arrays: those of ``flatten_trees``.
        depth: their ``depth`` as a plain number, which bounds the walk.
    """
    child, feature_N, threshold_N = arrays["child_N2"].flatten(), arrays["feature_N"], arrays["threshold_N"]
    place_BT = arrays["root_T"].expand(x_BF.shape[0], -1)
    for _ in range(depth):
        node_BT = place_BT.clamp_min(0).long()  # what exported graphs index by
        right_BT = x_BF.gather(1, feature_N[node_BT].long()) > threshold_N[node_BT]
        place_BT = torch.where(place_BT < 0, place_BT, child[2 * node_BT + right_BT])
    return (-1 - place_BT).long()
