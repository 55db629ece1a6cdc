"""Feature blocks in memory while learners are fitted: NumPy arrays and SciPy sparse matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from polyfuse.layers.features import Bag

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Rows = Any  # np.ndarray (R, F) or csr_matrix (R, F)
LIMIT = 8.0  # deviations from the centre; what lies further out is an outlier, and pulls no further
CHUNK = 1024


def is_sparse(block: Rows) -> TypeGuard[csr_matrix]:
    """Whether a block is a SciPy matrix."""
    return hasattr(block, "indptr")


def to_bag(matrix: csr_matrix) -> Bag:
    """Sparse rows as a padded bag; K is the longest row's, at least 1."""
    lengths_R = np.diff(matrix.indptr)
    mask_RK = np.arange(max(int(lengths_R.max(initial=0)), 1)) < lengths_R[:, None]
    ids_RK, weights_RK = np.zeros(mask_RK.shape, np.int64), np.zeros(mask_RK.shape, np.float32)
    ids_RK[mask_RK], weights_RK[mask_RK] = matrix.indices, matrix.data
    return Bag(torch.from_numpy(ids_RK), torch.from_numpy(weights_RK), matrix.shape[1])


def to_sparse(bag: Bag) -> csr_matrix:
    """A bag as sparse rows, repeated ids added up, padding left out."""
    from scipy.sparse import csr_matrix

    ids_RK, weights_RK = bag.ids_BK.numpy(), bag.weights_BK.float().numpy()
    real_RK = weights_RK != 0
    ends_R = np.concatenate([[0], real_RK.sum(1).cumsum()])
    found = csr_matrix((weights_RK[real_RK], ids_RK[real_RK], ends_R), shape=(len(ids_RK), bag.size))
    found.sum_duplicates()
    return found


def concat_batches(blocks: Sequence[Tensor | Bag]) -> Rows:
    """One block from its batches, to fit on: dense ones as float32 (R, F), bags as sparse rows."""
    if isinstance(blocks[0], Bag):
        from scipy.sparse import vstack

        return vstack([to_sparse(b) for b in blocks if isinstance(b, Bag)], format="csr")
    return np.concatenate([b.float().numpy() for b in blocks if isinstance(b, Tensor)])


def select_rows(blocks: Sequence[Rows], at: np.ndarray | slice) -> list[Rows]:
    """Select rows of every block."""
    return [block[at] for block in blocks]


def to_tensors(blocks: Sequence[Rows]) -> list[Tensor | Bag]:
    """Blocks as a learner reads them."""
    return [to_bag(b) if is_sparse(b) else torch.from_numpy(np.ascontiguousarray(b, dtype=np.float32)) for b in blocks]


def predict_scores(learner: nn.Module, blocks: Sequence[Rows]) -> np.ndarray:
    """What a learner says of all rows, some at a time: (R, C) float64."""
    with torch.no_grad():
        found = [learner(to_tensors(part)).double().numpy() for part in _chunks(blocks)]
    return np.concatenate(found)


def _chunks(blocks: Sequence[Rows]) -> Iterator[list[Rows]]:
    for start in range(0, max(blocks[0].shape[0], 1), CHUNK):
        yield select_rows(blocks, slice(start, start + CHUNK))


def centre_and_spread(x_RF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and spread of each column over its finite cells, float32; spread is 1 where a column is constant."""
    x_RF = np.asarray(x_RF, dtype=np.float64)
    known_RF = np.isfinite(x_RF)
    count_F = known_RF.sum(0).clip(1)
    centre_F = np.where(known_RF, x_RF, 0).sum(0) / count_F
    with np.errstate(invalid="ignore"):
        spread_F = np.sqrt((np.where(known_RF, x_RF - centre_F, 0) ** 2).sum(0) / count_F)
    # a spread of rounding errors alone is none
    flat_F = spread_F <= 1e-6 * np.maximum(np.abs(centre_F), 1e-6)
    return centre_F.astype(np.float32), np.where(flat_F, 1, spread_F).astype(np.float32)


def standardize(x_RF: np.ndarray, centre_F: np.ndarray, spread_F: np.ndarray) -> np.ndarray:
    """The very float32 steps of ``Learner.dense``, so that a tree sees the same numbers in both."""
    with np.errstate(invalid="ignore", over="ignore"):
        z_RF = ((np.asarray(x_RF, np.float32) - centre_F) / spread_F).clip(-LIMIT, LIMIT)
    return np.nan_to_num(z_RF, nan=0.0)
