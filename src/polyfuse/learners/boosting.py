"""Trees that each mend what those before left wrong. Friedman, Annals of Statistics 2001; Ke et al., NeurIPS 2017."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyfuse.errors import extra
from polyfuse.layers.features import Bag
from polyfuse.learners.base import Arrays, Learner, Problem, Setting, dense_rows
from polyfuse.learners.blocks import Rows
from polyfuse.learners.trees import Tree, flatten_trees, reached_leaves

LABELS = 10  # more labels than this would take as many models
ROUNDS = (25, 50, 100, 200, 400)


class Boosting(Learner):
    """Gradient boosting of small trees on binned columns; the strongest on many rows of columns.

    The number of rounds is chosen out of fold like any setting: more rounds go on from fewer.

    Settings:
        rate: learning rate.
        leaves: most leaves of a tree.
        rounds: trees per class.
        leaf: fewest rows of a leaf.

    See also: ``forest`` for few rows.
    """

    paper = "Friedman: Greedy function approximation, Annals of Statistics 2001; Ke et al.: LightGBM, NeurIPS 2017"
    along = "rounds"

    root_T: Tensor
    child_N2: Tensor
    feature_N: Tensor
    threshold_N: Tensor
    depth: Tensor
    value_L: Tensor
    start_P: Tensor

    def __init__(self, arrays: Mapping[str, Tensor]):
        super().__init__(arrays)
        self.levels = int(self.depth) if self.knows else 0

    @staticmethod
    def candidates(task: str, rows: int, features: int, classes: int, *, mixed: bool = False) -> list[Setting]:  # noqa: ARG004
        """Two shapes of trees, each over a range of rounds; none below 100 rows or where fitting would take minutes."""
        models = 1 if task == "number" or (task == "category" and classes == 2) else classes
        if rows < 100 or rows * features * models > 60_000_000 or models > 30 or (task == "labels" and models > LABELS):
            return []
        shapes: list[Setting] = [{"rate": 0.1, "leaves": 8, "leaf": 10}]
        rounds = ROUNDS if rows >= 1000 else ROUNDS[:-1]
        if rows >= 1000 and rows * features * models <= 20_000_000:
            shapes.append({"rate": 0.05, "leaves": 31, "leaf": 20})
        return [{**shape, "rounds": count} for shape in shapes for count in rounds]

    @classmethod
    def solutions(
        cls, blocks: Sequence[Rows], problem: Problem, settings: list[Setting], seed: int
    ) -> Iterator[Arrays]:
        """Settings that differ in ``rounds`` alone, in rising order, go on from one another."""
        x_RF, scales = dense_rows(blocks)
        columns = problem.target.T if problem.task == "labels" else [problem.target]
        models: list[Any] = []
        last: Setting = {}
        for setting in settings:
            shape = {k: v for k, v in setting.items() if k != "rounds"}
            if shape != {k: v for k, v in last.items() if k != "rounds"} or setting["rounds"] < last["rounds"]:
                models = [_model(problem, shape, seed) for _ in columns]
            last = setting
            for model, target_R in zip(models, columns, strict=True):
                model.set_params(max_iter=setting["rounds"]).fit(x_RF, target_R, sample_weight=problem.weight_R)
            yield {**scales, **_arrays(models)}

    def answer(self, blocks: Sequence[Tensor | Bag]) -> Tensor:
        """Scores (B, P)."""
        arrays = {n: getattr(self, n) for n in ("root_T", "child_N2", "feature_N", "threshold_N")}
        value_BT = self.value_L[reached_leaves(self.dense(blocks), arrays, self.levels)]
        # trees of one round stand side by side, one per score
        score_BK = value_BT.unflatten(1, (-1, self.start_P.shape[0])).sum(1) + self.start_P
        if self.task == "category" and self.present_P.shape[0] == 2:
            return torch.cat([torch.zeros_like(score_BK), score_BK], 1)
        return score_BK


def _model(problem: Problem, shape: Setting, seed: int) -> Any:
    with extra("train"):
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if problem.task == "number" else HistGradientBoostingClassifier
    return kind(
        learning_rate=shape["rate"],
        max_leaf_nodes=shape["leaves"],
        min_samples_leaf=shape["leaf"],
        l2_regularization=1.0,
        early_stopping=False,
        warm_start=True,
        random_state=seed,
    )


def _arrays(models: list[Any]) -> Arrays:
    """Trees round by round, within a round model by model, and each model's score by score."""
    rounds = zip(*(model._predictors for model in models), strict=True)
    nodes = [predictor.nodes for round_ in rounds for of_model in round_ for predictor in of_model]
    trees = [
        Tree(
            n["feature_idx"],
            n["num_threshold"],
            n["left"].astype(np.int64),
            n["right"].astype(np.int64),
            n["is_leaf"].astype(bool),
        )
        for n in nodes
    ]
    return {
        **flatten_trees(trees),
        "value_L": np.concatenate([n["value"][n["is_leaf"].astype(bool)] for n in nodes]).astype(np.float32),
        "start_P": np.concatenate([np.ravel(m._baseline_prediction) for m in models]).astype(np.float32),
    }
