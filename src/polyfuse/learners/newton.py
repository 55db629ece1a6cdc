"""Penalised linear models on sparse and dense columns together, by Newton steps that conjugate gradients approximate.

Steihaug, The conjugate gradient method and trust regions in large scale optimization, SIAM J. Numerical Analysis 1983;
Lin, Weng and Keerthi, Trust region Newton method for logistic regression, JMLR 2008. Each step costs some tens of
products with the columns, few enough that 15,000 rows of 100,000 words take seconds. K is the number of scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from polyfuse.learners.blocks import Rows, is_sparse

SMALL = 2_000_000  # cells; up to here float64 costs nothing
STEPS, INNER, HALVINGS = 40, 60, 20


class Design:
    """All blocks as one matrix, in the order given, without ever joining sparse with dense.

    Sparse columns that no row uses are left out, so that they cost nothing.

    Args:
        blocks: as given.
        x_RF: the dense ones, standardised and side by side.
        dense: weight of the dense ones.
    """

    def __init__(self, blocks: Sequence[Rows], x_RF: np.ndarray, dense: float):
        cells = sum(b.nnz if is_sparse(b) else b.size for b in blocks)
        self.dtype = np.float64 if cells <= SMALL else np.float32
        self.parts: list[Rows] = []
        scales, used, at, given = [], [], 0, 0
        for block in blocks:
            part, scale = (
                self._words(block) if is_sparse(block) else self._columns(x_RF[:, at : at + block.shape[1]], dense)
            )
            at += 0 if is_sparse(block) else block.shape[1]
            used.append(given + np.flatnonzero(scale))
            self.parts.append(part.astype(self.dtype))
            scales.append(scale[scale > 0])
            given += block.shape[1]
        self.scale_F, self.used_F, self.given = np.concatenate(scales), np.concatenate(used), given
        self.ends = np.cumsum(np.array([0, *(p.shape[1] for p in self.parts)]))
        self.rows, self.columns = blocks[0].shape[0], int(self.ends[-1])

    @staticmethod
    def _words(block: Rows) -> tuple[Rows, np.ndarray]:
        used_F = np.bincount(block.indices, minlength=block.shape[1]) > 0
        return block[:, used_F], used_F.astype(np.float64)

    @staticmethod
    def _columns(x_RF: np.ndarray, dense: float) -> tuple[np.ndarray, np.ndarray]:
        varies_F = x_RF.any(0)
        return x_RF[:, varies_F], varies_F * (dense / np.sqrt(max(int(np.count_nonzero(varies_F)), 1)))

    def times(self, weight_FK: np.ndarray) -> np.ndarray:
        """X W: (F, K) -> (R, K)."""
        weight_FK = (weight_FK * self.scale_F[:, None]).astype(self.dtype)
        bounds = zip(self.parts, self.ends[:-1], self.ends[1:], strict=True)
        found = [np.asarray(part @ weight_FK[a:b], np.float64) for part, a, b in bounds]
        return sum(found[1:], start=found[0])

    def back(self, error_RK: np.ndarray) -> np.ndarray:
        """X' E: (R, K) -> (F, K)."""
        error_RK = error_RK.astype(self.dtype)
        return np.concatenate([part.T @ error_RK for part in self.parts]).astype(np.float64) * self.scale_F[:, None]

    def squares(self) -> np.ndarray:
        """Mean square of each column: (F,)."""
        found = [
            (np.asarray(p.multiply(p).sum(0)).ravel() if is_sparse(p) else np.einsum("rf,rf->f", p, p))
            for p in self.parts
        ]
        return np.concatenate(found).astype(np.float64) * self.scale_F**2 / self.rows

    def joined(self) -> np.ndarray:
        """X as one dense matrix."""
        found = [part.toarray() if is_sparse(part) else part for part in self.parts]
        return np.concatenate(found, 1) * self.scale_F.astype(self.dtype)

    def unscaled(self, weight_FK: np.ndarray) -> np.ndarray:
        """Weights for the columns as given: 0 where none was used."""
        found = np.zeros((self.given, weight_FK.shape[1]))
        found[self.used_F] = weight_FK * self.scale_F[:, None]
        return found


class Likelihood(Protocol):
    """A convex loss of scores (R, K)."""

    def loss(self, score_RK: np.ndarray) -> float:
        """Sum over rows."""

    def losses(self, score_RK: np.ndarray) -> np.ndarray:
        """Of each row: (R,)."""

    def answer(self, score_RK: np.ndarray) -> np.ndarray:
        """What the scores mean, in the units of the target: (R, K)."""

    def error(self, answer_RK: np.ndarray) -> np.ndarray:
        """First derivative by the scores: (R, K)."""

    def curved(self, answer_RK: np.ndarray, change_RK: np.ndarray) -> np.ndarray:
        """Second derivative by the scores, applied to a change of them: (R, K)."""

    def diagonal(self, answer_RK: np.ndarray) -> np.ndarray:
        """Its diagonal: (R, K)."""


class Weighted:
    """Another loss, its rows weighed."""

    def __init__(self, likelihood: Likelihood, weight_R: np.ndarray):
        self.plain, self.weight_R = likelihood, weight_R

    def loss(self, score_RK: np.ndarray) -> float:
        return float(self.losses(score_RK).sum())

    def losses(self, score_RK: np.ndarray) -> np.ndarray:
        return self.weight_R * self.plain.losses(score_RK)

    def answer(self, score_RK: np.ndarray) -> np.ndarray:
        return self.plain.answer(score_RK)

    def error(self, answer_RK: np.ndarray) -> np.ndarray:
        return self.weight_R[:, None] * self.plain.error(answer_RK)

    def curved(self, answer_RK: np.ndarray, change_RK: np.ndarray) -> np.ndarray:
        return self.weight_R[:, None] * self.plain.curved(answer_RK, change_RK)

    def diagonal(self, answer_RK: np.ndarray) -> np.ndarray:
        return self.weight_R[:, None] * self.plain.diagonal(answer_RK)


class Softmax:
    """Log loss of class codes (R,)."""

    def __init__(self, target_R: np.ndarray):
        self.at = (np.arange(len(target_R)), target_R)

    def loss(self, score_RK: np.ndarray) -> float:
        top_R1 = score_RK.max(1, keepdims=True)
        return float(np.log(np.exp(score_RK - top_R1).sum(1)).sum() + top_R1.sum() - score_RK[self.at].sum())

    def losses(self, score_RK: np.ndarray) -> np.ndarray:
        top_R1 = score_RK.max(1, keepdims=True)
        return np.log(np.exp(score_RK - top_R1).sum(1)) + top_R1[:, 0] - score_RK[self.at]

    def answer(self, score_RK: np.ndarray) -> np.ndarray:
        share_RK = np.exp(score_RK - score_RK.max(1, keepdims=True))
        return share_RK / share_RK.sum(1, keepdims=True)

    def error(self, answer_RK: np.ndarray) -> np.ndarray:
        error_RK = answer_RK.copy()
        error_RK[self.at] -= 1
        return error_RK

    def curved(self, answer_RK: np.ndarray, change_RK: np.ndarray) -> np.ndarray:
        return answer_RK * (change_RK - (answer_RK * change_RK).sum(1, keepdims=True))

    def diagonal(self, answer_RK: np.ndarray) -> np.ndarray:
        return answer_RK * (1 - answer_RK)


class Sigmoid:
    """Cross-entropy of targets (R, K) of 0 and 1, each on its own."""

    def __init__(self, target_RK: np.ndarray):
        self.target_RK = target_RK

    def loss(self, score_RK: np.ndarray) -> float:
        return float(np.logaddexp(0, score_RK).sum() - (self.target_RK * score_RK).sum())

    def losses(self, score_RK: np.ndarray) -> np.ndarray:
        return (np.logaddexp(0, score_RK) - self.target_RK * score_RK).sum(1)

    def answer(self, score_RK: np.ndarray) -> np.ndarray:
        return 0.5 * (1 + np.tanh(score_RK / 2))

    def error(self, answer_RK: np.ndarray) -> np.ndarray:
        return answer_RK - self.target_RK

    def curved(self, answer_RK: np.ndarray, change_RK: np.ndarray) -> np.ndarray:
        return self.diagonal(answer_RK) * change_RK

    def diagonal(self, answer_RK: np.ndarray) -> np.ndarray:
        return answer_RK * (1 - answer_RK)


class Square:
    """Half the squared error of numbers (R, 1)."""

    def __init__(self, target_RK: np.ndarray):
        self.target_RK = target_RK

    def loss(self, score_RK: np.ndarray) -> float:
        return float(((score_RK - self.target_RK) ** 2).sum() / 2)

    def losses(self, score_RK: np.ndarray) -> np.ndarray:
        return ((score_RK - self.target_RK) ** 2).sum(1) / 2

    def answer(self, score_RK: np.ndarray) -> np.ndarray:
        return score_RK

    def error(self, answer_RK: np.ndarray) -> np.ndarray:
        return answer_RK - self.target_RK

    def curved(self, answer_RK: np.ndarray, change_RK: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return change_RK

    def diagonal(self, answer_RK: np.ndarray) -> np.ndarray:
        return np.ones_like(answer_RK)


def newton(design: Design, likelihood: Likelihood, penalty: float, start: np.ndarray, tolerance: float) -> np.ndarray:
    """The weights of least mean loss + penalty / 2 |W|^2; the bias, their last row, is not penalised.

    Args:
        start: weights to begin with (F + 1, K).
        tolerance: largest slope of any weight at which it ends.
    """
    weight, score_RK = start.copy(), design.times(start[:-1]) + start[-1]
    squares = np.append(design.squares(), 1.0)[:, None]
    penalties = np.append(np.full(design.columns, penalty), 0.0)[:, None]
    for _ in range(STEPS):
        answer_RK = likelihood.answer(score_RK)
        slope = _gradient(design, likelihood.error(answer_RK)) + penalties * weight
        if np.abs(slope).max() <= tolerance:
            break
        scale = squares * likelihood.diagonal(answer_RK).mean(0) + penalties + 1e-12
        step, change_RK = _newton_direction(design, likelihood, answer_RK, slope, scale, penalties)
        share = _line_search(likelihood, score_RK, change_RK, penalties, weight, step, float((slope * step).sum()))
        if share == 0:
            break
        weight, score_RK = weight + share * step, score_RK + share * change_RK
    return weight


def _gradient(design: Design, error_RK: np.ndarray) -> np.ndarray:
    return np.vstack([design.back(error_RK) / design.rows, error_RK.mean(0)])


def _newton_direction(
    design: Design,
    likelihood: Likelihood,
    answer_RK: np.ndarray,
    slope: np.ndarray,
    scale: np.ndarray,
    penalties: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """About the Newton step, and the change of scores it brings, by preconditioned conjugate gradients."""
    step, change_RK, left = np.zeros_like(slope), np.zeros_like(answer_RK), -slope
    eased = left / scale
    toward, energy = eased, float((left * eased).sum())
    enough = energy * min(0.25, np.sqrt(np.sqrt(energy))) ** 2  # closer, the nearer the end
    for _ in range(INNER):
        moved_RK = design.times(toward[:-1]) + toward[-1]
        curved = _gradient(design, likelihood.curved(answer_RK, moved_RK)) + penalties * toward
        bend = float((toward * curved).sum())
        if bend <= 0:  # rounding, at the very bottom
            break
        size = energy / bend
        step, change_RK, left = step + size * toward, change_RK + size * moved_RK, left - size * curved
        eased = left / scale
        last, energy = energy, float((left * eased).sum())
        if energy <= enough:
            break
        toward = eased + energy / last * toward
    return step, change_RK


def _line_search(
    likelihood: Likelihood,
    score_RK: np.ndarray,
    change_RK: np.ndarray,
    penalties: np.ndarray,
    weight: np.ndarray,
    step: np.ndarray,
    fall: float,
) -> float:
    """How much of a step lowers the loss as it promises (Armijo); 0 when no part does, to rounding."""

    def value(share: float) -> float:
        loss = likelihood.loss(score_RK + share * change_RK) / len(score_RK)
        return loss + float((penalties * (weight + share * step) ** 2).sum()) / 2

    here = value(0.0)
    shares = (0.5**n for n in range(HALVINGS))
    return next((s for s in shares if value(s) <= here + 1e-4 * s * fall + 1e-15 * abs(here)), 0.0)
