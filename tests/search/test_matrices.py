"""Mapped vectors follow the table, survive kills, damage and full disks, and are not believed when they differ."""

from __future__ import annotations

import errno
import json
import shutil

import numpy as np
import pytest

from polyfuse.search import matrices
from polyfuse.search.matrices import FACTS, MatrixFolder

SIZE = 6


class World:
    """Rows by id, as a table would have them, and how often they were asked for."""

    def __init__(self, folder, rows=50):
        self.folder, self.rng = folder, np.random.default_rng(0)
        self.ids, self.x, self.asked = np.zeros(0, np.int64), {}, []
        self.add(rows)

    def add(self, count):
        new = self.rng.choice(2**62, count, replace=False)
        for id in new.tolist():
            self.x[id] = self.rng.normal(size=SIZE).astype(np.float32)
        self.ids = np.concatenate([self.ids, new])

    def fetch(self, ids):
        self.asked.append(len(ids))
        for part in np.array_split(ids, 3):
            known = np.array([id for id in part.tolist() if id in self.x], np.int64)
            rows = np.array([self.x[id] for id in known.tolist()], np.float32).reshape(-1, SIZE)
            yield known, {"a": rows, "b/ü": -rows}

    def opened(self):
        return MatrixFolder(self.folder, ["a", "b/ü"], SIZE)

    def check(self, folder=None):
        found = (folder or self.opened()).holding(self.ids, self.fetch)
        places = found.places(self.ids)
        assert (places >= 0).all()
        expected = np.array([self.x[id] for id in self.ids.tolist()], np.float32).reshape(-1, SIZE)
        assert np.array_equal(found.full["a"][places], expected)
        assert np.array_equal(found.half["a"][places], expected.astype(np.float16))
        assert np.array_equal(found.full["b/ü"][places], -expected)
        return found


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "derived")


def test_only_what_is_new_is_read_again(world):
    first = world.check()
    world.check()
    assert world.asked == [50]
    world.add(7)
    second = world.check()
    assert world.asked == [50, 7]
    assert second.generation == first.generation
    assert np.array_equal(second.ids_N[:50], first.ids_N)
    assert second.places(np.array([5]))[0] == -1


def test_deleted_rows_stay_until_they_are_half_of_it(world):
    first = world.check()
    world.ids = world.ids[10:]
    assert world.check().generation == first.generation
    world.ids = world.ids[20:]
    last = world.check()
    assert last.generation != first.generation
    assert len(last.ids_N) == 20
    assert [p.name for p in world.folder.iterdir() if p.is_dir()] == [last.generation]
    world.ids = world.ids[:0]
    assert len(world.check().ids_N) in (0, 20)


def test_what_a_killed_process_left_behind_is_cut_off(world):
    found = world.check()
    for file in (world.folder / found.generation).iterdir():
        with file.open("ab") as end:
            end.write(b"half a row")
    (world.folder / (FACTS + ".part")).write_text("{")
    world.check()
    world.add(3)
    assert world.check().generation == found.generation
    assert world.asked == [50, 3]


@pytest.mark.parametrize("file", ["ids", "0.half", "1.half", "1.full", FACTS, "all"])
@pytest.mark.parametrize("how", ["short", "absent", "other bytes"])
def test_damage_is_found_and_mended(world, file, how):
    found = world.check()
    place = world.folder / found.generation
    path = {FACTS: world.folder / FACTS, "all": place}.get(file, place / file)
    if path.is_dir():
        shutil.rmtree(path)
    elif how == "absent":
        path.unlink()
    elif how == "short":
        path.write_bytes(path.read_bytes()[:-30])
    elif file != "1.full":  # single precision is compared where it is read: see test_scan
        path.write_bytes(bytes(255 - b for b in path.read_bytes()))
    folder = world.opened()
    world.check(folder)
    if how == "other bytes" and file != "all" and file != "1.full":
        assert "damaged" in " ".join(folder.notes)
    assert world.asked[-1] == 50


def test_what_was_found_damaged_is_not_read_again_where_it_cannot_be_removed(world, monkeypatch):
    folder = world.opened()
    found = world.check(folder)

    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(MatrixFolder, "_sweep", refused)
    folder.begin_anew(found)
    assert folder.holding(world.ids, world.fetch).generation != found.generation


@pytest.mark.parametrize("fresh", [True, False])
def test_a_full_disk_keeps_the_rows_in_memory(world, monkeypatch, fresh):
    if not fresh:
        world.check()
        world.add(4)
    kept = matrices._open_at_row

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, content):
            self.file.write(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            self.file.close()

    monkeypatch.setattr(matrices, "_open_at_row", lambda *a: Full(kept(*a)))
    folder = world.opened()
    found = world.check(folder)
    assert found.generation == ""
    assert "No space left" in folder.notes[0]
    assert "kept in memory" in folder.notes[0]
    monkeypatch.undo()
    assert world.check().generation
    facts = json.loads((world.folder / FACTS).read_text())
    assert facts["rows"] == len(world.ids)


def test_two_that_write_at_once_have_each_row_once(world):
    from concurrent.futures import ThreadPoolExecutor

    world.check()
    world.add(40)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: world.check(world.opened()), range(8)))
    assert {len(one.ids_N) for one in found} == {90}
    assert sum(world.asked) == 90
