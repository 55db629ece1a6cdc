"""Batches: every row once, each distinct cell once, the same order for the same seed."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyfuse.data.batches import PACK, Order, Rows, gather, loader, most_shared_cell
from polyfuse.data.cells.transform import pad
from polyfuse.data.prepare import Prepared


class Numbers:
    """A transform whose cells are short vectors of their own number."""

    media, joint = True, False

    def blank(self):
        return np.zeros(1)

    def collate(self, cells):
        values, lengths = pad(cells)
        return {"x": values, "lengths": lengths}


def prepared(index):
    index = np.asarray(index, dtype=np.int64)
    cells = [np.full(1 + n % 3, float(n)) for n in range(index.max(initial=-1) + 1)]
    return Prepared(Numbers(), cells, index, [bytes([n % 256]) for n in range(len(cells))])


@given(st.lists(st.tuples(st.integers(-1, 5), st.integers(-1, 5)), min_size=1, max_size=12))
def test_gather_points_every_row_at_its_own_cells(index):
    source = prepared(index)
    cells = gather(source, np.arange(len(index)))
    used = {i for row in index for i in row if i >= 0}
    assert len(cells.fields["x"]) == max(1, len(used))
    for row, slots in enumerate(index):
        for slot, cell in enumerate(slots):
            at = int(cells.index_BK[row, slot])
            assert (at < 0) == (cell < 0)
            if at >= 0:
                assert float(cells.fields["x"][at, 0]) == cell
                assert cells.digests[at] == bytes([cell])
    assert cells.present_B.tolist() == [max(row) >= 0 for row in index]
    assert int(cells.present_U.sum()) == len(used)


@given(
    rows=st.integers(1, 60),
    size=st.integers(1, 16),
    shared=st.booleans(),
    seed=st.integers(0, 5),
)
def test_an_epoch_visits_every_row_once(rows, size, shared, seed):
    numbers = np.arange(rows) * 2
    share = np.arange(2 * rows) // 7 if shared else None

    def epoch(number):
        order = Order(numbers, size, shuffle=True, seed=seed, share=share)
        order.at_step(number * len(order))
        batches = [batch for _, batch in order]
        assert len(batches) == len(order)
        return batches

    visited = np.concatenate(epoch(0))
    assert sorted(visited) == list(numbers)
    assert all(len(batch) <= size for batch in epoch(0))
    assert np.array_equal(visited, np.concatenate(epoch(0)))
    if rows > 40 and not shared:
        assert not np.array_equal(visited, np.concatenate(epoch(1)))


def test_packs_bring_rows_of_one_cell_together():
    share = np.repeat(np.arange(100), 10)
    packed = Order(np.arange(1000), 64, shuffle=True, share=share)
    loose = Order(np.arange(1000), 64, shuffle=True)
    distinct = [np.mean([len(set(share[batch])) for _, batch in order]) for order in (packed, loose)]
    assert distinct[0] < distinct[1] / 3
    assert max(np.bincount(share[batch]).max() for _, batch in packed) <= 10
    assert PACK < 10


def test_sharing_is_found_only_where_there_is_some():
    shared, alone = prepared(np.repeat(np.arange(5), 4)[:, None]), prepared(np.arange(20)[:, None])
    assert most_shared_cell({"a": alone, "b": shared}, np.arange(20)).tolist() == np.repeat(np.arange(5), 4).tolist()
    assert most_shared_cell({"a": alone}, np.arange(20)) is None


def test_loader_augments_with_the_seed_of_the_batch_and_workers_change_nothing():
    def change(fields, seed):
        noise = torch.rand(fields["x"].shape, generator=torch.Generator().manual_seed(seed))
        return {**fields, "x": fields["x"] + noise}

    rows = Rows({"a": prepared(np.arange(20)[:, None])}, {}, 20, augment={"a": change})
    order = Order(np.arange(20), 8, shuffle=True, seed=1)
    first, again, parallel = (list(loader(rows, order, workers)) for workers in (0, 0, 1))
    for one, two, three in zip(first, again, parallel, strict=True):
        assert torch.equal(one.inputs["a"].fields["x"], two.inputs["a"].fields["x"])
        assert torch.equal(one.inputs["a"].fields["x"], three.inputs["a"].fields["x"])
        assert torch.equal(one.rows_B, three.rows_B)
