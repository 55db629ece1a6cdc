"""The store of decoded cells: round trips, sharing between processes, eviction."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polyfuse.data.store import FallbackStore, MemoryStore, Store, evict, fingerprint, recently_used_bytes

arrays = hnp.arrays(
    st.sampled_from([np.uint8, np.int16, np.int32, np.float32]),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
    elements={"allow_nan": False},
)


@given(st.lists(arrays, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
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
    assert 8000 <= recently_used_bytes(tmp_path, but=tmp_path / "own") < 2 * 8000 + 40_000
    assert recently_used_bytes(tmp_path, but=tmp_path / "long ago") >= 2 * 8000


KEYS = [bytes([n]) for n in range(5)]


def _filled(folder):
    items = [(key, np.full(100, n + 1.0)) for n, key in enumerate(KEYS)]
    Store(folder).put(items)
    return items


def _zero(file):
    file.write_bytes(bytes(file.stat().st_size))


def _cut(file):
    os.truncate(file, file.stat().st_size // 2)


def _overwrite(file):
    file.write_bytes(b"not what it was " * (file.stat().st_size // 16))


@pytest.mark.parametrize("name", ["cells.bin", "index.sqlite"])
@pytest.mark.parametrize("damage", [_zero, _cut, _overwrite, Path.unlink])
def test_a_damaged_store_gives_nothing_wrong_and_is_filled_again(tmp_path, name, damage):
    items = _filled(tmp_path / "s")
    damage(tmp_path / "s" / name)
    store = FallbackStore(tmp_path / "s", "arrays")
    known = store.known(KEYS)
    assert len(known) < len(KEYS)
    store.put([(key, array) for key, array in items if key not in known])
    for opened in (store, Store(tmp_path / "s")):
        assert opened.known(KEYS) == set(KEYS)
        for found, (_, array) in zip(opened.view(KEYS), items, strict=True):
            np.testing.assert_array_equal(found, array)
    if damage is not Path.unlink:  # of an absent file nothing needs to be said
        assert str(tmp_path / "s") in store.notes[0]


@given(st.integers(0, 10**6), st.integers(0, 255))
@settings(max_examples=25, deadline=None)
def test_any_changed_byte_of_an_array_is_noticed(tmp_path_factory, place, byte):
    folder = tmp_path_factory.mktemp("store")
    items = _filled(folder)
    content = bytearray((folder / "cells.bin").read_bytes())
    place %= len(content)
    same = content[place] == byte
    content[place] = byte
    (folder / "cells.bin").write_bytes(content)
    store = Store(folder)
    known = store.known(KEYS)
    assert all(np.array_equal(store.view([key])[0], array) for key, array in items if key in known)
    assert same or len(known) >= 4


def _no_folder(folder, monkeypatch):
    folder.parent.mkdir(parents=True)
    folder.write_text("a file stands there")


def _no_lock(folder, monkeypatch):
    (folder / "lock").mkdir(parents=True)


def _read_only(folder, monkeypatch):
    def refuses(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("polyfuse.data.store.FileLock.acquire", refuses)


@pytest.mark.parametrize("why", [_no_folder, _no_lock, _read_only])
def test_where_nothing_can_be_written_arrays_stay_in_memory(tmp_path, monkeypatch, why):
    folder = tmp_path / "cache" / "cells" / "s"
    why(folder, monkeypatch)
    store = FallbackStore(folder, "decoded media")
    assert not store.writable
    store.put((key, np.full(3, n)) for n, key in enumerate(KEYS))
    assert store.known([*KEYS, b"other"]) == set(KEYS)
    assert [int(a[0]) for a in store.view(KEYS[::-1])] == [4, 3, 2, 1, 0]
    (note,) = store.notes
    assert f"the cache {tmp_path / 'cache'} cannot be used" in note
    assert "decoded media are kept in memory" in note


def test_what_lies_in_a_store_that_cannot_be_written_is_used(tmp_path, monkeypatch):
    items = _filled(tmp_path / "s")
    _read_only(tmp_path / "s", monkeypatch)
    store = FallbackStore(tmp_path / "s", "arrays")
    assert store.known(KEYS) == set(KEYS)
    store.put([(b"new", np.zeros(3))])
    found = store.view([KEYS[1], b"new", KEYS[0]])
    for one, expected in zip(found, (items[1][1], np.zeros(3), items[0][1]), strict=True):
        np.testing.assert_array_equal(one, expected)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), sqlite3.OperationalError("disk is full")])
def test_a_disk_that_fills_up_on_the_way_is_gone_on_with_in_memory(tmp_path, monkeypatch, error):
    store = FallbackStore(tmp_path / "cache" / "cells" / "s", "arrays")
    store.put([(KEYS[0], np.zeros(3))])

    def full(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("polyfuse.data.store._checksum", full)
        store.put([(KEYS[1], np.ones(3))])
    store.put([(KEYS[2], np.ones(3))])
    assert [float(a[0]) for a in store.view(KEYS[:3])] == [0, 1, 1]
    assert "kept in memory" in store.notes[0]
