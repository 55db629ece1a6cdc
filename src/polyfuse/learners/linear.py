"""Logistic and ridge regression on sparse and dense features together: the baseline that words are hard to beat by.

Hoerl and Kennard, Ridge regression, Technometrics 1970; le Cessie and van Houwelingen, Ridge estimators in logistic
regression, Applied Statistics 1992; solved by truncated Newton steps, or in closed form for numbers on few columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polyfuse.layers.features import Bag, width
from polyfuse.learners.base import Arrays, Learner, Problem, Setting, dense_rows
from polyfuse.learners.blocks import Rows
from polyfuse.learners.newton import Design, Likelihood, Sigmoid, Softmax, Square, Weighted, newton

CLOSED = 2000  # columns up to which a ridge is solved by the eigenvectors of its Gram matrix


class Linear(Learner):
    """Logistic or ridge regression on all blocks together; strong on words, safe on few rows.

    Each dense block is standardised and divided by the root of its number of columns, so that a row of it is about as
    long as a row of tf-idf weights, and one penalty suits both.

    Settings:
        strength: C, the inverse of the penalty; higher fits more closely.
        dense: weight of dense blocks beside sparse ones; higher lets them say more.
    """

    paper = "le Cessie and van Houwelingen: Ridge estimators in logistic regression, Applied Statistics 1992"
    sparse = True
    along = "strength"

    weight_FP: Tensor
    bias_P: Tensor

    @staticmethod
    def candidates(task: str, rows: int, features: int, classes: int, *, mixed: bool = False) -> list[Setting]:
        """Strengths from strong to weak penalty; with dense beside sparse blocks, two weights of the dense ones."""
        if rows * classes > 5_000_000 or features * classes > 20_000_000:
            return []
        # a ridge is cheap by its eigenvectors; logistic regressions are solved one after the other
        powers = np.arange(-2.5, 4.5, 0.5) if task == "number" else np.arange(-1, 4, 0.75)
        strengths = [float(np.round(10**p, 4)) for p in powers]
        return [{"strength": s, "dense": d} for d in ((1.0, 3.0) if mixed else (1.0,)) for s in strengths]

    @classmethod
    def solutions(
        cls,
        blocks: Sequence[Rows],
        problem: Problem,
        settings: list[Setting],
        seed: int,  # noqa: ARG003
    ) -> Iterator[Arrays]:
        """Warm-started from one strength to the next; nothing in it is random."""
        x_RF, scales = dense_rows(blocks)
        start, dense = None, None
        for setting in settings:
            if dense != setting.get("dense", 1.0):
                dense = setting.get("dense", 1.0)
                design, start = Design(blocks, x_RF, dense), None
                solver = _solver(design, problem)
            start = solver(setting["strength"], start, setting.get("tolerance", 1e-5))
            weight_FK, bias_K = design.unscaled(start[:-1]), start[-1]
            if problem.task == "category" and len(problem.present_P) == 2:  # only the difference was learnt
                weight_FK, bias_K = np.pad(weight_FK, ((0, 0), (1, 0))), np.pad(bias_K, (1, 0))
            yield {**scales, "weight_FP": weight_FK.astype(np.float32), "bias_P": bias_K.astype(np.float32)}

    def answer(self, blocks: Sequence[Tensor | Bag]) -> Tensor:
        """Scores (B, P)."""
        total_BP, at, dense_at = self.bias_P, 0, 0
        for block in blocks:
            weight_FP = self.weight_FP[at : at + width(block)]
            if isinstance(block, Bag):
                total_BP = total_BP + _weighted_sum(block, weight_FP)
            else:
                part = slice(dense_at, dense_at + width(block))
                total_BP = total_BP + self.dense([block], part) @ weight_FP
                dense_at += width(block)
            at += width(block)
        return total_BP


def _weighted_sum(bag: Bag, weight_FP: Tensor) -> Tensor:
    """Sum of the weights of a bag's ids, without making (B, K, P) except in an exported file."""
    weights_BK = bag.weights_BK.to(weight_FP.dtype)
    if torch.compiler.is_exporting():  # a bag would fix that there is more than one id
        return (weight_FP[bag.ids_BK] * weights_BK[..., None]).sum(1)
    return F.embedding_bag(bag.ids_BK, weight_FP, mode="sum", per_sample_weights=weights_BK)


def _solver(design: Design, problem: Problem) -> Callable[..., np.ndarray]:
    """(strength, start, tolerance) -> weights with the bias as last row (F + 1, K)."""
    target, weight_R = problem.target, problem.weight_R

    def weighed(likelihood: Likelihood) -> Likelihood:
        return likelihood if weight_R is None else Weighted(likelihood, weight_R)

    if problem.task == "number":
        square = _newton_solver(design, weighed(Square(target[:, None])), problem.base_C)
        return _ridge(design, target, weight_R) if design.columns <= CLOSED else square
    if problem.task == "category" and len(problem.present_P) > 2:
        share_K = np.bincount(target, weight_R) / len(target)
        return _newton_solver(design, weighed(Softmax(target)), np.log(share_K))
    yes_RK = target.reshape(len(target), -1).astype(np.float64)
    share_K = yes_RK.mean(0) if weight_R is None else weight_R @ yes_RK / len(yes_RK)
    return _newton_solver(design, weighed(Sigmoid(yes_RK)), np.log(share_K / (1 - share_K)))


def _ridge(design: Design, target_R: np.ndarray, weight_R: np.ndarray | None) -> Callable[..., np.ndarray]:
    """One decomposition serves every strength; the bias is not penalised."""
    x_RF = design.joined()
    mean_F = x_RF.mean(0, dtype=np.float64) if weight_R is None else weight_R @ x_RF / len(x_RF)
    middle = target_R.mean() if weight_R is None else (weight_R * target_R).mean()
    x_RF -= mean_F.astype(x_RF.dtype)
    off_R = target_R - middle
    if weight_R is not None:  # each side has the root of a row's weight
        x_RF, off_R = x_RF * np.sqrt(weight_R)[:, None].astype(x_RF.dtype), off_R * np.sqrt(weight_R)
    values_F, vectors_FF = np.linalg.eigh(np.asarray(x_RF.T @ x_RF, np.float64))
    turned_F = vectors_FF.T @ (x_RF.T @ off_R.astype(x_RF.dtype)).astype(np.float64)

    def solve(strength: float, *_) -> np.ndarray:
        weight_F = vectors_FF @ (turned_F / (values_F.clip(0) + 1 / strength))
        return np.append(weight_F, middle - mean_F @ weight_F)[:, None]

    return solve


def _newton_solver(design: Design, likelihood: Likelihood, bias_K: np.ndarray) -> Callable[..., np.ndarray]:
    """From the last solution, or from nothing but the bias."""

    def solve(strength: float, start: np.ndarray | None, tolerance: float) -> np.ndarray:
        first = np.vstack([np.zeros((design.columns, len(bias_K))), bias_K]) if start is None else start
        return newton(design, likelihood, 1 / (strength * design.rows), first, tolerance)

    return solve
