"""The store of decoded cells: round trips, sharing between processes, eviction."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polyfuse.data.store import MemoryStore, Store, evict, fingerprint, spared

arrays = hnp.arrays(
    st.sampled_from([np.uint8, np.int16, np.int32, np.float32]),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
    elements={"allow_nan": False},
)


@given(st.lists(arrays, min_size=1, max_size=6))
def test_arrays_come_back_as_they_went_in(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("store")
    items = [(bytes([n]), array) for n, array in enumerate(found)]
    Store(folder).put(items)
    view = Store(folder).view([key for key, _ in items])
    for array, back in zip(found, view, strict=True):
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
    for array, back in zip(found, pickle.loads(pickle.dumps(view)), strict=True):
        np.testing.assert_array_equal(back, array)


def test_memory_store_answers_the_same(tmp_path):
    for store in (Store(tmp_path / "a"), MemoryStore()):
        assert store.known([b"x"]) == set()
        store.put([(b"x", np.arange(3))])
        assert store.known([b"x", b"y"]) == {b"x"}
        np.testing.assert_array_equal(store.view([b"x", b"x"])[1], np.arange(3))
        with pytest.raises(KeyError):
            store.view([b"y"])


def _write(folder, start):
    store = Store(folder)
    for n in range(start, start + 60):
        store.put([(n.to_bytes(2, "big"), np.full(100, n))])


def test_two_processes_may_write_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(tmp_path, start)) for start in (0, 30)]  # half of it twice
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    view = Store(tmp_path).view([n.to_bytes(2, "big") for n in range(90)])
    assert [int(a[0]) for a in view] == list(range(90))


def test_eviction_removes_the_oldest_first_and_spares_the_one_in_use(tmp_path):
    old, older, used = (tmp_path / name for name in ("old", "older", "used"))
    for folder, hours in ((old, 2), (older, 3), (used, 4)):
        Store(folder).put([(b"k", np.zeros(1000))])
        then = time.time() - 3600 * hours
        os.utime(folder, (then, then))
    size = sum(f.stat().st_size for f in old.iterdir())
    assert evict(tmp_path, 2 * size, keep=used) == [older]
    assert evict(tmp_path, 0, keep=used) == [old]
    assert used.exists()


def test_fingerprint_follows_content():
    assert fingerprint("a", {"x": 1, "y": 2}) == fingerprint("a", {"y": 2, "x": 1})
    assert fingerprint("a", {"x": 1}) != fingerprint("a", {"x": 2})


def test_eviction_stands_a_store_that_another_process_removes(tmp_path, monkeypatch):
    for name in ("a", "b"):
        Store(tmp_path / name).put([(b"k", np.zeros(1000))])
    exists = Path.exists

    def vanishing(self):
        found = exists(self)
        if self.parent.name == "b":
            shutil.rmtree(self.parent, ignore_errors=True)  # between being seen and being measured
        return found

    monkeypatch.setattr(Path, "exists", vanishing)
    assert tmp_path / "a" not in evict(tmp_path, 0)
    assert not (tmp_path / "b").exists()


def test_what_is_in_use_is_spared(tmp_path):
    for name in ("lately", "long ago", "own"):
        Store(tmp_path / name).put([(b"k", np.zeros(1000))])
    os.utime(tmp_path / "long ago", (0, 0))
    assert 8000 <= spared(tmp_path, but=tmp_path / "own") < 2 * 8000 + 40_000
    assert spared(tmp_path, but=tmp_path / "long ago") >= 2 * 8000
