"""Logistic and ridge regression on sparse and dense features together: the baseline that words are hard to beat by.

Hoerl and Kennard, Ridge regression, Technometrics 1970; le Cessie and van Houwelingen, Ridge estimators in logistic
regression, Applied Statistics 1992; solved by L-BFGS (Liu and Nocedal, 1989) or, for numbers, in closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polyfuse.layers.features import Bag, width
from polyfuse.learners.base import Arrays, Learner, Problem, Setting, dense_rows
from polyfuse.learners.rows import Rows, is_sparse

SMALL = 2_000_000  # cells; up to here float64 costs nothing
CLOSED = 2000  # columns up to which a ridge is solved by the eigenvectors of its Gram matrix
Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]


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
        powers = np.arange(-5, 9) if task == "number" else np.arange(-2, 8)
        strengths = [float(np.round(10 ** (p / 2), 4)) for p in powers]
        return [{"strength": s, "dense": d} for d in ((1.0, 3.0) if mixed else (1.0,)) for s in strengths]

    @classmethod
    def solutions(cls, blocks: Sequence[Rows], problem: Problem, settings: list[Setting], seed: int) -> Iterator[Arrays]:  # noqa: ARG003
        """Warm-started from one strength to the next; nothing in it is random."""
        x_RF, scales = dense_rows(blocks)
        start, dense = None, None
        for setting in settings:
            if dense != setting.get("dense", 1.0):
                dense = setting.get("dense", 1.0)
                design, start = _Design(blocks, x_RF, dense), None
                solver = _solver(design, problem)
            start = solver(setting["strength"], start, setting.get("tolerance", 1e-5))
            weight_FK, bias_K = start[:-1] * design.scale_F[:, None], start[-1]
            if problem.task == "category" and len(problem.present_P) == 2:  # only the difference was learnt
                weight_FK, bias_K = np.pad(weight_FK, ((0, 0), (1, 0))), np.pad(bias_K, (1, 0))
            yield {**scales, "weight_FP": weight_FK.astype(np.float32), "bias_P": bias_K.astype(np.float32)}

    def answer(self, blocks: Sequence[Tensor | Bag]) -> Tensor:
        """Scores (B, P)."""
        total_BP, at, dense_at = self.bias_P, 0, 0
        for block in blocks:
            weight_FP = self.weight_FP[at : at + width(block)]
            if isinstance(block, Bag):
                total_BP = total_BP + _weighed(block, weight_FP)
            else:
                part = slice(dense_at, dense_at + width(block))
                total_BP = total_BP + self.dense([block], part) @ weight_FP
                dense_at += width(block)
            at += width(block)
        return total_BP


def _weighed(bag: Bag, weight_FP: Tensor) -> Tensor:
    """Sum of the weights of a bag's ids, without making (B, K, P) except in an exported file."""
    weights_BK = bag.weights_BK.to(weight_FP.dtype)
    if torch.compiler.is_exporting():  # a bag would fix that there is more than one id
        return (weight_FP[bag.ids_BK] * weights_BK[..., None]).sum(1)
    return F.embedding_bag(bag.ids_BK, weight_FP, mode="sum", per_sample_weights=weights_BK)


class _Design:
    """All blocks as one matrix, in the order given, without ever joining sparse with dense.

    Args:
        blocks: as given.
        x_RF: the dense ones, standardised and side by side.
        dense: weight of the dense ones.
    """

    def __init__(self, blocks: Sequence[Rows], x_RF: np.ndarray, dense: float):
        cells = sum(b.nnz if is_sparse(b) else b.size for b in blocks)
        self.dtype = np.float64 if cells <= SMALL else np.float32
        self.parts: list[Rows] = []
        scales, at = [], 0
        for block in blocks:
            if is_sparse(block):
                self.parts.append(block.astype(self.dtype))
                scales.append(np.ones(block.shape[1]))
                continue
            part_RF = x_RF[:, at : at + block.shape[1]].astype(self.dtype)
            varies = np.count_nonzero(part_RF.any(0))
            self.parts.append(part_RF)
            scales.append(np.full(block.shape[1], dense / np.sqrt(max(varies, 1))))
            at += block.shape[1]
        self.scale_F = np.concatenate(scales)
        self.ends = np.cumsum([0, *(p.shape[1] for p in self.parts)])
        self.rows, self.columns = blocks[0].shape[0], int(self.ends[-1])

    def times(self, weight_FK: np.ndarray) -> np.ndarray:
        """X W: (F, K) -> (R, K)."""
        weight_FK = (weight_FK * self.scale_F[:, None]).astype(self.dtype)
        bounds = zip(self.parts, self.ends[:-1], self.ends[1:], strict=True)
        return sum(np.asarray(part @ weight_FK[a:b], np.float64) for part, a, b in bounds)  # type: ignore[return-value]

    def back(self, error_RK: np.ndarray) -> np.ndarray:
        """X' E: (R, K) -> (F, K)."""
        error_RK = error_RK.astype(self.dtype)
        return np.concatenate([part.T @ error_RK for part in self.parts]).astype(np.float64) * self.scale_F[:, None]

    def joined(self) -> np.ndarray:
        """X as one dense matrix."""
        found = [part.toarray() if is_sparse(part) else part for part in self.parts]
        return np.concatenate(found, 1) * self.scale_F.astype(self.dtype)


def _solver(design: _Design, problem: Problem) -> Callable[..., np.ndarray]:
    """(strength, start, tolerance) -> weights with the bias as last row (F + 1, K)."""
    if problem.task == "number" and design.columns <= CLOSED:
        return _ridge(design, problem.target)
    loss = {"category": _softmax, "labels": _sigmoid, "number": _square}[problem.task]
    if problem.task == "category" and len(problem.present_P) == 2:
        return _descent(design, _sigmoid(problem.target[:, None]), _odds(problem.target[:, None]))
    if problem.task == "category":
        return _descent(design, loss(problem.target), np.log(np.bincount(problem.target) / len(problem.target)))
    bias_K = _odds(problem.target) if problem.task == "labels" else problem.target.mean(keepdims=True)
    return _descent(design, loss(problem.target), bias_K)


def _odds(target_RK: np.ndarray) -> np.ndarray:
    share_K = target_RK.mean(0)
    return np.log(share_K / (1 - share_K))


def _ridge(design: _Design, target_R: np.ndarray) -> Callable[..., np.ndarray]:
    """One decomposition serves every strength; the bias is not penalised."""
    x_RF = design.joined()
    mean_F = x_RF.mean(0, dtype=np.float64)
    x_RF -= mean_F.astype(x_RF.dtype)
    values_F, vectors_FF = np.linalg.eigh(np.asarray(x_RF.T @ x_RF, np.float64))
    turned_F = vectors_FF.T @ (x_RF.T @ (target_R - target_R.mean()).astype(x_RF.dtype)).astype(np.float64)

    def solve(strength: float, *_) -> np.ndarray:
        weight_F = vectors_FF @ (turned_F / (values_F.clip(0) + 1 / strength))
        return np.append(weight_F, target_R.mean() - mean_F @ weight_F)[:, None]

    return solve


def _descent(design: _Design, loss: Loss, bias_K: np.ndarray) -> Callable[..., np.ndarray]:
    """Mean loss plus |W|^2 / (2 C R), by L-BFGS from the last solution, or from nothing but the bias."""
    shape = (design.columns + 1, len(bias_K))

    def solve(strength: float, start: np.ndarray | None, tolerance: float) -> np.ndarray:
        from scipy.optimize import minimize

        penalty = 1 / (strength * design.rows)

        def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weight_FK, bias = flat.reshape(shape)[:-1], flat.reshape(shape)[-1]
            cost, error_RK = loss(design.times(weight_FK) + bias)
            slope = np.empty(shape)
            slope[:-1], slope[-1] = design.back(error_RK) / design.rows + penalty * weight_FK, error_RK.mean(0)
            return cost / design.rows + penalty / 2 * float((weight_FK**2).sum()), slope.ravel()

        first = np.vstack([np.zeros((design.columns, len(bias_K))), bias_K]) if start is None else start
        options = {"maxiter": 500, "maxls": 50, "gtol": tolerance, "ftol": tolerance * 1e-4}
        return minimize(value, first.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(shape)

    return solve


def _softmax(target_R: np.ndarray) -> Loss:
    at = (np.arange(len(target_R)), target_R)

    def loss(score_RK: np.ndarray) -> tuple[float, np.ndarray]:
        score_RK -= score_RK.max(1, keepdims=True)
        right = score_RK[at].sum()
        share_RK = np.exp(score_RK, out=score_RK)
        total_R1 = share_RK.sum(1, keepdims=True)
        share_RK /= total_R1
        share_RK[at] -= 1
        return float(np.log(total_R1).sum() - right), share_RK

    return loss


def _sigmoid(target_RK: np.ndarray) -> Loss:
    def loss(score_RK: np.ndarray) -> tuple[float, np.ndarray]:
        cost = np.logaddexp(0, score_RK).sum() - (target_RK * score_RK).sum()
        return float(cost), 0.5 * (1 + np.tanh(score_RK / 2)) - target_RK

    return loss


def _square(target_R: np.ndarray) -> Loss:
    def loss(score_RK: np.ndarray) -> tuple[float, np.ndarray]:
        error_RK = score_RK - target_R[:, None]
        return float((error_RK**2).sum() / 2), error_RK

    return loss
