"""Fold numbers of rows: every class spread over the folds, no group in two of them."""

from __future__ import annotations

import numpy as np


def fold_numbers(target: np.ndarray, task: str, groups_R: np.ndarray | None, k: int, seed: int) -> np.ndarray | None:
    """Deals rows into k folds of about equal size and about the same classes (or tenths of a number's range).

    With fewer rows or groups than k, there are as many folds as those.

    Args:
        target: class codes (R,), labels (R, C), or numbers (R,).
        task: ``category``, ``labels`` or ``number``.
        groups_R: rows with the same value stay in one fold; None lets every row stand alone.
        k: folds wanted.
        seed: the same seed deals the same way.

    Returns:
        The fold of each row (R,), or None where not even two folds are possible.
    """
    strata_R = _strata(np.asarray(target), task)
    groups_R = np.arange(len(strata_R)) if groups_R is None else np.unique(groups_R, return_inverse=True)[1].reshape(-1)
    groups = int(groups_R.max(initial=-1)) + 1
    k = min(k, groups)
    if k < 2:
        return None
    rng = np.random.default_rng(seed)
    if groups == len(strata_R):
        return _deal(strata_R, k, rng)
    return _place_groups(strata_R, groups_R, k, rng)[groups_R]


def _strata(target: np.ndarray, task: str) -> np.ndarray:
    """A class of each row: its own, its rarest label, or the tenth in which its number lies."""
    if task == "category":
        return np.unique(target, return_inverse=True)[1].reshape(-1)
    if task == "labels":
        yes_RC = target > 0.5
        rarity_RC = np.where(yes_RC, yes_RC.sum(0), len(target) + 1)
        first_R = rarity_RC.argmin(1) if yes_RC.shape[1] else np.zeros(len(target), np.int64)
        return np.where(yes_RC.any(1), first_R + 1, 0)
    ranks_R = target.reshape(-1).argsort(kind="stable").argsort(kind="stable")
    return ranks_R * min(10, max(len(target) // 5, 1)) // max(len(target), 1)


def _deal(strata_R: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Like cards, stratum by stratum, going on where the last one ended."""
    order_R = np.lexsort((rng.random(len(strata_R)), strata_R))
    folds_R = np.empty(len(strata_R), np.int64)
    folds_R[order_R] = rng.permutation(k)[np.arange(len(strata_R)) % k]
    return folds_R


def _place_groups(strata_R: np.ndarray, groups_R: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The fold of each group, the largest first, each where its classes and rows are scarcest."""
    size_G = np.bincount(groups_R)
    share_S = 1 / np.bincount(strata_R).clip(1)
    order_R = groups_R.argsort(kind="stable")
    of_group = np.split(strata_R[order_R], size_G.cumsum()[:-1])
    held_KS, rows_K = np.zeros((k, len(share_S))), np.zeros(k)
    folds_G = np.empty(len(size_G), np.int64)
    for group in np.lexsort((rng.random(len(size_G)), -size_G)):
        classes, counts = np.unique(of_group[group], return_counts=True)
        cost_K = held_KS[:, classes] @ (counts * share_S[classes]) + rows_K * counts.sum() / len(strata_R)
        # an empty fold comes first, or few groups might leave one without rows
        fold = np.lexsort((rows_K, cost_K, rows_K > 0))[0]
        folds_G[group], rows_K[fold] = fold, rows_K[fold] + size_G[group]
        held_KS[fold, classes] += counts
    return folds_G
