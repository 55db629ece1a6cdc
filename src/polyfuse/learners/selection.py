"""Weights of ensemble members, selected greedily on out-of-fold scores.

Caruana et al., Ensemble selection from libraries of models, ICML 2004. Letters: M members, R rows, C classes (1 for a
number), N entries: a row, or a row's label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyfuse.learners.loss import mean_one_weights

ROUNDS, BAGS, SHARE = 50, 15, 0.6
FEW = 100  # rows at which greed counts as much as equal weights of the members that may all be best
NOISE = 2.0  # standard errors by which a member may lose to the best and still be as good
TRIFLE = 0.03  # a weight below this is none
ENTRIES = 8_000  # of a bag at most
LEAST = 1e-7  # probability of the truth that a log can bear


def select_weights(
    scores_MRC: Sequence[np.ndarray],
    present_MR: np.ndarray,
    target: np.ndarray,
    task: str,
    *,
    seed: int = 0,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Weights of members by which their mean probability, or number, is least wrong out of fold.

    Greedy, with replacement, from the best member on, on many random parts of the rows, whose mean smooths it. On few
    rows it shrinks towards equal weights of all members that are within noise of the best.

    Args:
        scores_MRC: each member's calibrated out-of-fold scores (R, C); whatever stands where it is absent.
        present_MR: which rows each member can judge; elsewhere the others' weights share what it leaves.
        target: class codes (R,), labels (R, C) of 0 and 1, or numbers (R,).
        task: ``category``, ``labels`` or ``number``.
        seed: of the random parts.
        weights: of each row (R,), 0 and above: how much it matters to be right there.

    Returns:
        Weights (M,) that sum to 1; 0 for members that do not help.

    Raises:
        ValueError: no member.
    """
    if not len(scores_MRC):
        raise ValueError("select_weights: expected at least one member, found none")
    present_MR = np.asarray(present_MR, bool)
    value_MN = np.stack([_values(np.asarray(s, np.float64), target, task) for s in scores_MRC])
    entries = value_MN.shape[1] // max(present_MR.shape[1], 1)
    judged_R = present_MR.any(0)
    value_MRK = value_MN.reshape(len(value_MN), -1, max(entries, 1))[:, judged_R]
    present_MR = present_MR[:, judged_R]
    share_R = (
        None if weights is None else mean_one_weights(np.asarray(weights, np.float64)[judged_R], int(judged_R.sum()))
    )
    if len(value_MN) == 1 or not judged_R.any():
        return np.full(len(value_MN), 1 / len(value_MN))
    value_MRK = np.where(present_MR[..., None], value_MRK, 0)
    greedy_M = np.mean([_bagged_weights(value_MRK, present_MR, task, rng, share_R) for rng in _streams(seed)], 0)
    rows = present_MR.shape[1]
    weight_M = (rows * greedy_M + FEW * _equal_weights(value_MRK, present_MR, task, share_R)) / (rows + FEW)
    weight_M = np.where(weight_M < TRIFLE, 0, weight_M)
    return weight_M / weight_M.sum()


def blend_scores(
    scores_MRC: Sequence[np.ndarray], present_MR: np.ndarray, weights_M: np.ndarray, task: str
) -> np.ndarray:
    """Scores (R, C) of the weighted mean of the present members' probabilities, or numbers.

    Where no member with a weight is present, the present ones count the same; where none is at all, the result is 0.

    Args:
        scores_MRC, present_MR, task: as for ``select_weights``.
        weights_M: as it gives them.
    """
    share_MR = _shares(np.asarray(weights_M, np.float64), np.asarray(present_MR, bool))
    total_RC = np.zeros(np.shape(scores_MRC[0]))
    for scores_RC, share_R in zip(scores_MRC, share_MR, strict=True):
        at = share_R > 0
        total_RC[at] += share_R[at, None] * _to_probabilities(np.asarray(scores_RC, np.float64)[at], task)
    if task == "number":
        return total_RC
    none_R = ~share_MR.any(0)
    total_RC[none_R] = 0.5
    total_RC = total_RC.clip(LEAST, 1 - LEAST)
    return np.log(total_RC) if task == "category" else np.log(total_RC / (1 - total_RC))


def _shares(weights_M: np.ndarray, present_MR: np.ndarray) -> np.ndarray:
    """Weights of each row's present members, which sum to 1 where one is present."""
    share_MR = weights_M[:, None] * present_MR
    share_MR = np.where(share_MR.sum(0) > 0, share_MR, present_MR)
    return share_MR / share_MR.sum(0).clip(1e-12)


def _to_probabilities(scores_RC: np.ndarray, task: str) -> np.ndarray:
    """Probabilities, or the numbers themselves."""
    if task == "number":
        return scores_RC
    if task == "labels":
        return 0.5 * (1 + np.tanh(scores_RC / 2))
    share_RC = np.exp(scores_RC - scores_RC.max(1, keepdims=True))
    return share_RC / share_RC.sum(1, keepdims=True)


def _values(scores_RC: np.ndarray, target: np.ndarray, task: str) -> np.ndarray:
    """All that a loss of mixtures needs: the probability of the truth, or the error of a number, entry by entry."""
    meaning_RC = _to_probabilities(scores_RC, task)
    if task == "number":
        return meaning_RC[:, 0] - np.asarray(target, np.float64).reshape(-1)
    if task == "labels":
        return np.where(np.asarray(target) > 0.5, meaning_RC, 1 - meaning_RC).ravel()
    return meaning_RC[np.arange(len(meaning_RC)), target]


def _loss(value: np.ndarray, task: str) -> np.ndarray:
    return value**2 if task == "number" else -np.log(value.clip(LEAST))


def _streams(seed: int) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, bag]) for bag in range(BAGS)]


def _bagged_weights(
    value_MRK: np.ndarray, present_MR: np.ndarray, task: str, rng: np.random.Generator, share_R: np.ndarray | None
) -> np.ndarray:
    """The greedy choice on a random part of the rows: (M,)."""
    members, rows, entries = value_MRK.shape
    count = min(max(round(SHARE * rows), 1), max(ENTRIES // entries, 1))
    part_P = rng.choice(rows, count, replace=False)
    value_MN = value_MRK[:, part_P].reshape(members, -1)
    present_MN = np.repeat(present_MR[:, part_P], entries, 1).astype(np.float64)
    share_N = 1.0 if share_R is None else np.repeat(share_R[part_P], entries)
    equal_N = value_MN.sum(0) / present_MN.sum(0)  # what stands where no chosen member is present
    sum_N, weight_N, chosen_M = np.zeros(value_MN.shape[1]), np.zeros(value_MN.shape[1]), np.zeros(members)
    for _ in range(ROUNDS):
        each_MN = weight_N + present_MN
        mixed_MN = np.where(each_MN > 0, (sum_N + value_MN) / np.maximum(each_MN, 1), equal_N)
        best = int((_loss(mixed_MN, task) * share_N).mean(1).argmin())
        sum_N, weight_N = sum_N + value_MN[best], weight_N + present_MN[best]
        chosen_M[best] += 1
    return chosen_M / ROUNDS


def _equal_weights(value_MRK: np.ndarray, present_MR: np.ndarray, task: str, share_R: np.ndarray | None) -> np.ndarray:
    """Equal weights of the best member and of those that are, on the rows of both, within two standard errors."""
    share = 1.0 if share_R is None else share_R
    loss_MR = _loss(value_MRK, task).mean(2) * share
    equal_R = _loss(value_MRK.sum(0) / present_MR.sum(0)[:, None], task).mean(1) * share
    best = int(np.where(present_MR, loss_MR, equal_R).mean(1).argmin())
    found_M = np.zeros(len(loss_MR))
    for member, (loss_R, present_R) in enumerate(zip(loss_MR, present_MR, strict=True)):
        gap = (loss_R - loss_MR[best])[present_R & present_MR[best]]
        found_M[member] = member == best or (len(gap) > 1 and gap.mean() <= NOISE * gap.std(ddof=1) / np.sqrt(len(gap)))
    return found_M / found_M.sum()
