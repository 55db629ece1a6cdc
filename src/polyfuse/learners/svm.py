"""Support vectors under a Gaussian kernel. Cortes and Vapnik, Support-vector networks, Machine Learning 1995."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyfuse.errors import extra
from polyfuse.layers.features import Bag
from polyfuse.learners.base import Arrays, Learner, Problem, Setting, dense_rows
from polyfuse.learners.blocks import Rows

ROWS, CLASSES, LABELS = 4000, 50, 10
SOFT = 4.0  # how sharply a comparison of two classes counts as won


class SVM(Learner):
    """Support vector machine with a Gaussian kernel; strong on statistics of sounds and pictures, few rows.

    Several classes are compared two by two; a class's score is the log of how surely it wins its comparisons, which
    the temperature makes a probability.

    Settings:
        cost: C; higher fits more closely.
        reach: the kernel is exp(-reach / F |x - y|^2) over the F columns that vary; higher sees nearer rows alone.
    """

    paper = "Cortes and Vapnik: Support-vector networks, Machine Learning 1995"
    along = "cost"

    vector_NF: Tensor
    weight_NK: Tensor
    bias_K: Tensor
    side_KP: Tensor
    gamma: Tensor

    @staticmethod
    def candidates(task: str, rows: int, features: int, classes: int, *, mixed: bool = False) -> list[Setting]:  # noqa: ARG004
        """Costs under two reaches, up to 4,000 rows, 50 classes or 10 labels."""
        if rows > ROWS or classes > CLASSES or (task == "labels" and classes > LABELS) or features > 5000:
            return []
        costs = (0.3, 1.0, 3.0) if task == "number" else (1.0, 4.0, 16.0)
        return [{"cost": cost, "reach": reach} for reach in (0.3, 1.0) for cost in costs]

    @classmethod
    def solutions(
        cls,
        blocks: Sequence[Rows],
        problem: Problem,
        settings: list[Setting],
        seed: int,  # noqa: ARG003
    ) -> Iterator[Arrays]:
        """A machine per setting; nothing in it is random."""
        x_RF, scales = dense_rows(blocks)
        columns = max(np.count_nonzero(x_RF.any(0)), 1)
        gap_RR, reach = _squared_distances(x_RF), None
        for setting in settings:
            gamma = setting["reach"] / columns
            if setting["reach"] != reach:
                reach, near_RR = setting["reach"], np.exp(-gamma * gap_RR)
            weight_RK, bias_K = _weights(near_RR, problem, setting["cost"])
            used_R = np.count_nonzero(weight_RK, axis=1) > 0
            used_R[0] = used_R[0] or not used_R.any()  # a kernel over no vector has no shape
            yield {
                **scales,
                "vector_NF": x_RF[used_R],
                "weight_NK": weight_RK[used_R].astype(np.float32),
                "bias_K": bias_K.astype(np.float32),
                "side_KP": _sides(problem),
                "gamma": np.array(gamma, np.float32),
            }

    def answer(self, blocks: Sequence[Tensor | Bag]) -> Tensor:
        """Scores (B, P)."""
        decision_BK = self.decisions(blocks)
        if self.task != "category":
            return decision_BK
        # log of the chance to win, summed over a class's comparisons and averaged, so that classes may be many
        won_BP = (decision_BK * SOFT)[:, :, None] * self.side_KP
        took_part_KP = self.side_KP.abs()
        return (torch.nn.functional.logsigmoid(won_BP) * took_part_KP).sum(1) / took_part_KP.sum(0) * 2

    def decisions(self, blocks: Sequence[Tensor | Bag]) -> Tensor:
        """Distance from the border of each pair of classes (above 0: the first wins), of each label, or a number."""
        x_BF = self.dense(blocks)
        near_B1, far_N = x_BF.square().sum(1, keepdim=True), self.vector_NF.square().sum(1)
        gap_BN = (near_B1 + far_N - 2 * x_BF @ self.vector_NF.T).clamp_min(0)
        return (-self.gamma * gap_BN).exp() @ self.weight_NK + self.bias_K


def _sides(problem: Problem) -> np.ndarray:
    """Pair by class: 1 where the class is the first of the pair, -1 where the second, else 0."""
    if problem.task != "category":
        return np.zeros((1, 1), np.float32)
    pairs = list(combinations(range(len(problem.present_P)), 2))
    side_KP = np.zeros((len(pairs), len(problem.present_P)), np.float32)
    side_KP[np.arange(len(pairs)), [a for a, _ in pairs]] = 1
    side_KP[np.arange(len(pairs)), [b for _, b in pairs]] = -1
    return side_KP


def _squared_distances(x_RF: np.ndarray) -> np.ndarray:
    """Squared distance of any two rows: one matrix product, where libsvm would sum pair by pair."""
    x_RF = np.asarray(x_RF, np.float64)
    long_R = (x_RF**2).sum(1)
    gap_RR = long_R[:, None] + long_R - 2 * x_RF @ x_RF.T
    np.fill_diagonal(gap_RR, 0)
    return gap_RR.clip(0)


def _weights(near_RR: np.ndarray, problem: Problem, cost: float) -> tuple[np.ndarray, np.ndarray]:
    """Weight of each row in each score (R, K), and the K biases."""
    with extra("train"):
        from sklearn.svm import SVC, SVR

    rows = len(near_RR)

    def fitted(kind: Any, target_R: np.ndarray) -> Any:
        return kind(C=cost, kernel="precomputed").fit(near_RR, target_R, sample_weight=problem.weight_R)

    if problem.task == "number":
        return _columns([fitted(SVR, problem.target)], rows)
    if problem.task == "labels":
        return _columns([fitted(SVC, yes_R) for yes_R in problem.target.T], rows)
    return _pairs(fitted(SVC, problem.target), rows)


def _columns(machines: list[Any], rows: int) -> tuple[np.ndarray, np.ndarray]:
    weight_RK = np.zeros((rows, len(machines)))
    for column, machine in enumerate(machines):
        weight_RK[machine.support_, column] = machine.dual_coef_[0]
    return weight_RK, np.array([machine.intercept_[0] for machine in machines])


def _pairs(machine: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The coefficients of one machine per pair, from libsvm's table that holds P - 1 of them per support vector."""
    classes = len(machine.classes_)
    bounds = np.cumsum([0, *machine.n_support_])
    weight_RK = np.zeros((rows, classes * (classes - 1) // 2))
    for pair, (a, b) in enumerate(combinations(range(classes), 2)):
        of_a, of_b = slice(*bounds[a : a + 2]), slice(*bounds[b : b + 2])
        weight_RK[machine.support_[of_a], pair] = machine.dual_coef_[b - 1, of_a]
        weight_RK[machine.support_[of_b], pair] = machine.dual_coef_[a, of_b]
    bias_K = machine.intercept_.copy()
    if classes == 2:  # of two classes scikit-learn turns the sign, as the second is its positive one
        return -weight_RK, -bias_K
    return weight_RK, bias_K
