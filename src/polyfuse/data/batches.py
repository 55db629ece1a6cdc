"""Make batches of prepared cells: rows in a seeded order, each distinct cell once, augmented in training only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from polyfuse.data.prepare import Prepared
from polyfuse.records import Batch, Cells

Augment = Callable[[dict[str, Tensor], int], dict[str, Tensor]]
PACK = 8  # rows of one shared cell that stay together in the order


@dataclass(frozen=True)
class Views:
    """Test-time augmentation: the number of views of a row that are averaged, all but the first augmented.

    Args:
        count: looks at a row, of which the answers are averaged.
        changes: input name -> augmentation of its fields.
    """

    count: int = 1
    changes: Mapping[str, Augment] = field(default_factory=dict)

    def augmented(self, batch: Batch) -> Iterator[Batch]:
        """Yield the further views of a batch, each augmented by its own seed; none without augmentation."""
        for seed in range(1, self.count if self.changes else 1):
            inputs = dict(batch.inputs)
            for name, change in self.changes.items():
                fields = inputs[name].fields
                if isinstance(fields, dict):  # tokens of the cache stay as they are
                    inputs[name] = replace(inputs[name], fields=change(fields, seed))
            yield replace(batch, inputs=inputs)


@dataclass
class Rows(Dataset):
    """Prepared inputs and outputs of one table; ``rows[numbers]`` is a Batch.

    Args:
        inputs: input name -> its prepared cells.
        outputs: output name -> its prepared targets; empty at prediction.
        count: number of rows.
        weights_R: weight of each row in the loss, of the column that the recipe names; all 1 without one.
        augment: input name -> augmentation of its fields, for training.
        origin_R: the row that each was made of, where an epoch takes one of each alone.
        keys: column that an objective asked for -> a number per row, the same for equal values, -1 for none.
        views: further looks at every row, for judging.
        own: output name -> prepared cells of the columns that its head reads itself.
    """

    inputs: dict[str, Prepared]
    outputs: dict[str, Prepared]
    count: int
    weights_R: np.ndarray | None = None
    augment: Mapping[str, Augment] = field(default_factory=dict)
    views: Views = Views()
    keys: Mapping[str, np.ndarray] = field(default_factory=dict)
    origin_R: np.ndarray | None = None
    own: dict[str, Prepared] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.count

    def _gather(self, name: str, rows: np.ndarray, seed: int) -> Cells:
        change: Any = self.augment.get(name)
        draws = getattr(change, "draw", None) is not None
        return gather(self.inputs[name], rows, partial(change.drawn, seed=seed) if draws else None)

    def __getitem__(self, request: tuple[int, np.ndarray]) -> Batch:
        """``(seed of the augmentation, row numbers)`` -> Batch."""
        seed, rows = request
        inputs = {name: self._gather(name, rows, seed) for name in self.inputs}
        for name, change in self.augment.items():
            inputs[name].fields = change(inputs[name].fields, seed)  # type: ignore[arg-type]
        weights = np.ones(len(rows)) if self.weights_R is None else self.weights_R[rows]
        return Batch(
            inputs=inputs,
            outputs={name: gather(prepared, rows) for name, prepared in self.outputs.items()},
            rows_B=torch.from_numpy(np.asarray(rows, dtype=np.int64)),
            weights_B=torch.from_numpy(weights).float(),
            keys={name: torch.from_numpy(code_R[rows]) for name, code_R in self.keys.items()},
            own={name: gather(prepared, rows) for name, prepared in self.own.items()},
        )


def gather(
    prepared: Prepared, rows: np.ndarray, draw: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
) -> Cells:
    """Collect the distinct cells that some rows use, padded together.

    Args:
        draw: what training sees of all that is kept of a cell, where the transform keeps more than is seen.
    """
    index_BK = prepared.index_RK[rows]
    used, inverse = np.unique(index_BK, return_inverse=True)
    inverse = inverse.reshape(index_BK.shape)
    if used.size and used[0] < 0:  # the missing ones come first: shift them to -1
        used, inverse = used[1:], inverse - 1
    fields = collate_cells(prepared, used) if draw is None else draw(collate_cells(prepared, used, every=True))
    ready = prepared.assemble(fields) if prepared.assemble else fields
    return Cells(ready, torch.from_numpy(inverse.astype(np.int64)), tuple(prepared.digests[at] for at in used))


def collate_cells(prepared: Prepared, places: Iterable[int], *, every: bool = False) -> dict[str, Tensor]:
    """Pad some distinct cells together; one blank cell where there are none.

    Args:
        every: with all that is kept of each, where that is more than is seen.
    """
    arrays = [prepared.cells[at] for at in places] or [prepared.transform.blank()]
    transform: Any = prepared.transform
    collate = transform.collate_to_draw if every else transform.collate
    return {name: torch.from_numpy(array) for name, array in collate(arrays).items()}


class Order(Sampler):
    """Row numbers of each batch, with a seed for its augmentation; the same for the same seed and epoch.

    Rows that share a costly cell stay together in packs, so that a batch encodes it once (ten questions about one
    picture: 128 rows need 16 pictures instead of 126).

    Args:
        rows: row numbers to visit.
        size: rows in a batch.
        shuffle: a new order every epoch, the last short batch spread over the others.
        share: cell of each row of the table that packs go by, or None.
        origin: row that each row of the table was made of: an epoch visits one of each, drawn anew.
    """

    def __init__(
        self,
        rows: np.ndarray,
        size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        share: np.ndarray | None = None,
        origin: np.ndarray | None = None,
    ):
        self.rows, self.size, self.shuffle, self.seed, self.share = np.asarray(rows), size, shuffle, seed, share
        self.origin_R = None if origin is None else np.unique(origin[self.rows], return_inverse=True)[1]
        self.count = len(self.rows) if self.origin_R is None else int(self.origin_R.max(initial=-1)) + 1
        self.epoch = 0

    def at_step(self, step: int) -> None:
        """Set the epoch by the training step; Lightning's own count is one off after a resumption."""
        self.epoch = step // len(self)

    def __len__(self) -> int:
        return max(1, -(-self.count // self.size))

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        rows = self._shuffle(rng) if self.shuffle else self.rows
        seeds = rng.integers(2**31, size=len(self))
        # equal parts, so that no step of an epoch is a tiny batch with a large say
        parts = np.array_split(rows, len(self)) if self.shuffle else self._split_in_order(rows)
        for seed, part in zip(seeds, parts, strict=False):
            yield int(seed), part

    def _draw_one_per_origin(self, rng: np.random.Generator) -> np.ndarray:
        order = rng.permutation(len(self.rows))
        return self.rows[order[np.unique(self.origin_R[order], return_index=True)[1]]]  # type: ignore[index]

    def _split_in_order(self, rows: np.ndarray) -> list[np.ndarray]:
        return [rows[at : at + self.size] for at in range(0, len(rows), self.size)]

    def _shuffle(self, rng: np.random.Generator) -> np.ndarray:
        rows = rng.permutation(self.rows if self.origin_R is None else self._draw_one_per_origin(rng))
        if self.share is None:
            return rows
        rows = rows[np.argsort(self.share[rows], kind="stable")]
        share = self.share[rows]
        starts = np.flatnonzero(np.r_[True, share[1:] != share[:-1]])
        within = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
        pack = np.cumsum((within % PACK) == 0) - 1
        return rows[np.argsort(rng.permutation(pack[-1] + 1)[pack], kind="stable")]


def most_shared_cell(inputs: Mapping[str, Prepared], rows: np.ndarray) -> np.ndarray | None:
    """Find the media cell that rows share most: an id per row of the table, or None when hardly any is shared."""
    best, most = None, 1.5
    for prepared in inputs.values():
        if prepared.transform.media and prepared.index_RK.shape[1] == 1:
            ids = prepared.index_RK[rows, 0]
            uses = len(rows) / max(1, len(np.unique(ids)))
            if uses > most:
                best, most = prepared.index_RK[:, 0], uses
    return best


def loader(rows: Rows, order: Order, workers: int = 0) -> DataLoader:
    """Return a DataLoader of these batches. ``workers`` processes help only where augmentation is heavy."""
    return DataLoader(rows, batch_size=None, sampler=order, num_workers=workers, persistent_workers=workers > 0)
