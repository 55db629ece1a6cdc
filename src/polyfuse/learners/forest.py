"""Averages of many randomised trees. Breiman, Random forests, Machine Learning 2001; Geurts et al., 2006."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polyfuse.errors import extra
from polyfuse.layers.features import Bag
from polyfuse.learners.base import Arrays, Learner, Problem, Setting, dense_rows
from polyfuse.learners.blocks import Rows
from polyfuse.learners.trees import Tree, flatten_trees, reached_leaves

MEGABYTES = 48  # of arrays at most; more rows than they hold make larger leaves
TREES = 100


class Forest(Learner):
    """Random forest or extremely randomised trees; strong on columns with little tuning, never far off.

    Class shares are smoothed by one more tree that gives every row the shares of the whole table: a class that no
    tree saw is unlikely, not impossible. Leaves grow with the number of rows so that the arrays stay below 48 MB.

    Settings:
        extra: extremely randomised trees, else a random forest.
        leaf: fewest rows of a leaf.
        features: share of columns among which a split is sought, or ``sqrt``.
        trees: how many.

    See also: ``boosting`` for many rows.
    """

    paper = "Breiman: Random forests, Machine Learning 2001; Geurts et al.: Extremely randomized trees, ML 2006"

    root_T: Tensor
    child_N2: Tensor
    feature_N: Tensor
    threshold_N: Tensor
    depth: Tensor
    value_LP: Tensor
    share_P: Tensor

    def __init__(self, arrays: Mapping[str, Tensor]):
        super().__init__(arrays)
        self.levels = int(self.depth) if self.knows else 0

    @staticmethod
    def candidates(task: str, rows: int, features: int, classes: int, *, mixed: bool = False) -> list[Setting]:  # noqa: ARG004
        """Both kinds with small and larger leaves; none where fitting would take minutes."""
        columns = max(features**0.5, features / 3 if task == "number" else 0)
        if rows * columns > 4_000_000 or rows * classes > 2_000_000 or features > 5000:
            return []
        share: Any = "sqrt" if task != "number" else 0.3 if features > 100 else 0.6
        kinds = [{"extra": extra, "features": share} for extra in (True, False)]
        return [{**kind, "leaf": leaf} for kind in kinds for leaf in (5, 1)]

    @classmethod
    def solutions(
        cls, blocks: Sequence[Rows], problem: Problem, settings: list[Setting], seed: int
    ) -> Iterator[Arrays]:
        """A forest per setting."""
        x_RF, scales = dense_rows(blocks)
        for setting in settings:
            model = _forest(problem, setting, len(x_RF), seed).fit(
                x_RF,
                problem.target.squeeze(1) if problem.target.shape[1:] == (1,) else problem.target,
                sample_weight=problem.weight_R,
            )
            trees = [estimator.tree_ for estimator in model.estimators_]
            # (nodes, outputs, classes): one output of several classes, or numbers of class 1
            values = [tree.value[tree.children_left < 0] for tree in trees]
            value_LP = np.concatenate(values)[:, 0] if problem.task == "category" else np.concatenate(values)[..., 0]
            yield {
                **scales,
                **flatten_trees(
                    [
                        Tree(t.feature, t.threshold, t.children_left, t.children_right, t.children_left < 0)
                        for t in trees
                    ]
                ),
                "value_LP": value_LP.astype(np.float32),
                "share_P": _shares(problem).astype(np.float32),
            }

    def answer(self, blocks: Sequence[Tensor | Bag]) -> Tensor:
        """Scores (B, P)."""
        mean_BP = self.mean(blocks)
        if self.task == "number":
            return mean_BP
        trees = self.root_T.shape[0]
        smooth_BP = (mean_BP * trees + self.share_P) / (trees + 1)
        return smooth_BP.log() if self.task == "category" else smooth_BP.logit(1e-6)

    def mean(self, blocks: Sequence[Tensor | Bag]) -> Tensor:
        """What the trees say on average: shares of the P learnt classes or labels, or a number: (B, P)."""
        arrays = {n: getattr(self, n) for n in ("root_T", "child_N2", "feature_N", "threshold_N")}
        reached_BT = reached_leaves(self.dense(blocks), arrays, self.levels)
        if torch.compiler.is_exporting():
            return self.value_LP[reached_BT].mean(1)
        return F.embedding_bag(reached_BT, self.value_LP, mode="mean")


def _shares(problem: Problem) -> np.ndarray:
    if problem.task == "category":
        return np.bincount(problem.target, problem.weight_R) / len(problem.target)
    return np.average(problem.target, 0, problem.weight_R).reshape(-1)


def _forest(problem: Problem, setting: Setting, rows: int, seed: int) -> Any:
    with extra("train"):
        from sklearn import ensemble

    kind = "Classifier" if problem.task == "category" else "Regressor"  # squared error of 0 and 1 is Gini's index
    trees = setting.get("trees", TREES)
    bytes_of_leaf = 16 + 4 * len(problem.present_P)
    smallest = int(np.ceil(rows * trees * bytes_of_leaf / (MEGABYTES * 1e6)))
    return getattr(ensemble, ("ExtraTrees" if setting["extra"] else "RandomForest") + kind)(
        trees,
        min_samples_leaf=min(max(setting["leaf"], smallest), max(rows // 2, 1)),
        max_features=setting["features"],
        random_state=seed,
        n_jobs=torch.get_num_threads(),  # threads; the same trees for any number of them
    )
