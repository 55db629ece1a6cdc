"""What classical learners share: fitted on rows, kept as plain arrays, run by torch.

They stand beside a network at decision level (Wolpert, Stacked generalization, Neural Networks 1992). A learner is
nothing but its named arrays: ``cls(arrays)`` makes it, ``state_dict()`` gives them back, so no pickle is needed and a
prediction needs no scikit-learn.

Letters beside the package's own: R rows to fit on, P classes or labels that the rows to fit on tell apart.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse.layers.features import Bag, rows
from polyfuse.learners.blocks import LIMIT, Rows, centre_and_spread, is_sparse, select_rows, standardize

TASKS = ("category", "labels", "number")
Setting = dict[str, Any]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Problem:
    """A target reduced to what can be learnt of it: classes and labels that never vary are set aside.

    Args:
        task: ``category``, ``labels`` or ``number``.
        target: codes (R,) from 0 to P - 1; labels (R, P) of 0 and 1; or numbers (R,).
        present_P: which columns of the answer are learnt.
        base_C: the answer's other columns, and the whole answer where nothing is learnt.
        known: whether nothing is left to learn.
        weight_R: of each row, all above 0 and 1 on average; None where all count the same.
    """

    task: str
    target: np.ndarray
    present_P: np.ndarray
    base_C: np.ndarray
    known: bool
    weight_R: np.ndarray | None = None

    @classmethod
    def of(cls, target: np.ndarray, task: str, classes: int, weights: np.ndarray | None = None) -> Problem:
        """Reads a target.

        Args:
            weights: of each row (R,), all above 0.

        Raises:
            ValueError: an unknown task, or no row.
        """
        if task not in TASKS:
            raise ValueError(f"task {task!r}: expected one of {', '.join(TASKS)}")
        if not len(target):
            raise ValueError("a learner needs at least one row to be fitted on, found none")
        read = {"category": cls._category, "labels": cls._labels, "number": cls._number}[task]
        weight_R = None if weights is None else np.asarray(weights, np.float64) / np.mean(weights)
        return replace(read(target, classes, weight_R), weight_R=weight_R)

    @classmethod
    def _category(cls, target: np.ndarray, classes: int, _: np.ndarray | None) -> Problem:
        present_P, codes = np.unique(np.asarray(target, np.int64), return_inverse=True)
        base_C = np.full(classes, np.log(0.5 / (len(target) + 0.5 * classes)))  # an unseen class: half a row
        if len(present_P) == 1:
            base_C[present_P] = 0
        return cls("category", codes, present_P, base_C, len(present_P) < 2)

    @classmethod
    def _labels(cls, target: np.ndarray, classes: int, weight_R: np.ndarray | None) -> Problem:
        yes_RC = np.asarray(target).reshape(-1, classes) > 0.5
        count_C = yes_RC.sum(0) if weight_R is None else weight_R @ yes_RC
        base_C = np.log((count_C + 0.5) / (len(yes_RC) - count_C + 0.5))
        present_P = np.flatnonzero(yes_RC.any(0) & ~yes_RC.all(0))
        return cls("labels", yes_RC[:, present_P].astype(np.float64), present_P, base_C, not len(present_P))

    @classmethod
    def _number(cls, target: np.ndarray, _: int, weight_R: np.ndarray | None) -> Problem:
        target = np.asarray(target, np.float64).reshape(-1)
        mean = target.mean() if weight_R is None else (weight_R * target).mean()
        return cls("number", target, np.zeros(1, np.int64), np.array([mean]), bool(np.ptp(target) == 0))

    @property
    def arrays(self) -> Arrays:
        """What every learner keeps of it."""
        return {
            "task_code": np.array(TASKS.index(self.task)),
            "learnt": np.array(int(not self.known)),
            "present_P": self.present_P.astype(np.int64),
            "base_C": self.base_C.astype(np.float32),
            "temperature": np.array(1, np.float32),
        }


class Learner(nn.Module):
    """A fitted learner: buffers only, nothing that trains."""

    paper = ""
    sparse = False  # whether it takes ``Bag`` blocks
    along = ""  # settings that differ in this alone share work, and the more regular come first

    task_code: Tensor
    learnt: Tensor
    present_P: Tensor
    base_C: Tensor
    temperature: Tensor
    centre_F: Tensor
    spread_F: Tensor

    def __init__(self, arrays: Mapping[str, Tensor]):
        super().__init__()
        for name, value in arrays.items():
            self.register_buffer(name, value.detach().clone())
        # plain numbers, so that forward has no branch on data
        self.task, self.knows = TASKS[int(self.task_code)], bool(self.learnt)

    @staticmethod
    @abstractmethod
    def candidates(task: str, rows: int, features: int, classes: int, *, mixed: bool = False) -> list[Setting]:
        """Settings worth trying out of fold, the cheapest and most regular first; none where it would not pay.

        Args:
            task: ``category``, ``labels`` or ``number``.
            rows: to fit on.
            features: columns of all blocks together.
            classes: C.
            mixed: whether some blocks are sparse and some dense.
        """

    @classmethod
    @abstractmethod
    def solutions(
        cls, blocks: Sequence[Rows], problem: Problem, settings: list[Setting], seed: int
    ) -> Iterator[Arrays]:
        """The learner's own arrays under one setting after the other."""

    @abstractmethod
    def answer(self, blocks: Sequence[Tensor | Bag]) -> Tensor:
        """Scores of what is learnt: (B, P)."""

    @classmethod
    def path(
        cls,
        blocks: Sequence[Rows],
        target: np.ndarray,
        task: str,
        classes: int,
        settings: list[Setting],
        *,
        seed: int,
        weights: np.ndarray | None = None,
    ) -> Iterator[Self]:
        """A learner per setting, made when asked for; what one setting computed may serve the next."""
        if weights is not None:
            heavy_R = weights > 0
            some = heavy_R if heavy_R.any() else slice(None)  # where none counts, all count the same
            blocks, target, weights = select_rows(blocks, some), target[some], weights[some] if heavy_R.any() else None
        problem = Problem.of(target, task, classes, weights)
        if not cls.sparse and any(is_sparse(b) for b in blocks):
            raise ValueError(f"{cls.__name__} takes dense blocks only, found a sparse one; leave it out")
        found = iter([{}] * len(settings)) if problem.known else cls.solutions(blocks, problem, settings, seed)
        for arrays in found:
            yield cls({k: torch.from_numpy(np.array(v)) for k, v in {**problem.arrays, **arrays}.items()})

    @classmethod
    def fitted(
        cls,
        blocks: Sequence[Rows],
        target: np.ndarray,
        task: str,
        classes: int,
        *,
        seed: int,
        weights: np.ndarray | None = None,
        **setting: Any,
    ) -> Self:
        """Fits on all given rows; the same seed gives the same learner.

        Args:
            blocks: float arrays (R, F) or SciPy's ``csr_matrix`` (R, F).
            target: class codes (R,); labels (R, C) of 0 and 1; or standardised numbers (R,).
            task: ``category``, ``labels`` or ``number``.
            classes: C; 1 for a number.
            weights: of each row (R,), 0 and above; rows of weight 0 are left out.
            setting: one of ``candidates``.

        Raises:
            ValueError: no row, an unknown task, or a sparse block where only dense ones are taken.
        """
        return next(cls.path(blocks, target, task, classes, [setting], seed=seed, weights=weights))

    @classmethod
    def restored(cls, arrays: Mapping[str, Tensor]) -> Self:
        """The learner whose ``state_dict()`` these are."""
        return cls(arrays)

    def forward(self, blocks: Sequence[Tensor | Bag]) -> Tensor:
        """Log-probabilities up to a constant, logits per label, or a standardised number, at the fitted temperature.

        Shapes: blocks (B, F_i) or bags -> (B, C); C is 1 for a number.
        """
        base_BC = self.base_C.expand(rows(blocks[0]), -1)
        if not self.knows:
            return base_BC / self.temperature
        score_BP = self.answer(blocks)
        if self.task == "category":
            score_BP = score_BP.log_softmax(1)
        return base_BC.index_copy(1, self.present_P, score_BP) / self.temperature

    def dense(self, blocks: Sequence[Tensor | Bag], part: slice = slice(None)) -> Tensor:
        """The dense blocks side by side, standardised: (B, F). A cell that is no number counts as the centre.

        Args:
            blocks: all of them, or those whose columns ``part`` names among all dense columns.
        """
        found = [block.float() for block in blocks if isinstance(block, Tensor)]
        x_BF = found[0] if len(found) == 1 else torch.cat(found, 1)
        return ((x_BF - self.centre_F[part]) / self.spread_F[part]).clamp(-LIMIT, LIMIT).nan_to_num(0.0)


def dense_rows(blocks: Sequence[Rows]) -> tuple[np.ndarray, Arrays]:
    """The dense blocks side by side, standardised, with the arrays that ``Learner.dense`` needs."""
    found = [np.asarray(b, np.float32) for b in blocks if not is_sparse(b)]
    x_RF = np.concatenate(found, 1) if found else np.zeros((blocks[0].shape[0], 0), np.float32)
    centre_F, spread_F = centre_and_spread(x_RF)
    return standardize(x_RF, centre_F, spread_F), {"centre_F": centre_F, "spread_F": spread_F}
