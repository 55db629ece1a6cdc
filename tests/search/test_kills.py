"""Whenever a process dies: the index reads, every acknowledged row is there once, every deleted one is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from polyfuse.search.folder import IndexFolder
from polyfuse.search.store import arrow, new_ids
from tests.search.conftest import needs_store
from tests.search.kill_writer import SIZE, rows

pytestmark = needs_store

ROOT = Path(__file__).parent.parent.parent
KILLS = int(os.environ.get("POLYFUSE_KILLS", "12"))


def made(place: Path) -> IndexFolder:
    vectors, frame = rows(np.random.default_rng(0), 5)
    facts = {"fingerprint": "x", "inputs": {"image": "image"}, "size": SIZE}
    return IndexFolder.create(place, facts, [arrow(new_ids(5), vectors, frame, {})], lambda folder: folder.mkdir())


def start(place: Path, seed: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.search.kill_writer", str(place), str(seed)]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths})


def killed(place: Path, seed: int, seconds: float) -> str:
    process = start(place, seed)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    process.kill()
    return process.communicate()[0]


def said(output: str, word: str) -> set[int]:
    whole = output[: output.rfind("\n") + 1].splitlines()
    return {int(id) for line in whole if line.startswith(word + " ") for id in line.split()[1:]}


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_no_acknowledged_row_and_doubles_none(tmp_path):
    shelf, rng = made(tmp_path / "i"), np.random.default_rng(0)
    first = set(shelf._load_newest().frame.id.tolist())
    there, perhaps = set(first), set()
    for turn in range(KILLS):
        output = killed(tmp_path / "i", turn, float(rng.uniform(0, 0.6)))
        perhaps |= said(output, "deleting") - said(output, "deleted")
        there = (there | said(output, "added")) - said(output, "deleted")
        frame = IndexFolder.open(tmp_path / "i")._load_newest().frame
        assert frame.id.is_unique
        assert there - perhaps <= set(frame.id.tolist())
        assert not said(output, "deleted") & set(frame.id.tolist())
        found = IndexFolder.open(tmp_path / "i").search(np.ones(SIZE, np.float32), find=["image"], k=5)
        assert len(found) == 5


@pytest.mark.slow
def test_two_processes_that_write_at_once_lose_nothing(tmp_path):
    made(tmp_path / "i")
    writers = [start(tmp_path / "i", seed) for seed in (1, 2)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    time.sleep(3)
    for writer in writers:
        writer.kill()
    outputs = [writer.communicate()[0] for writer in writers]
    frame = IndexFolder.open(tmp_path / "i")._load_newest().frame
    held = set(frame.id.tolist())
    assert frame.id.is_unique
    for output in outputs:
        assert said(output, "added")
        assert said(output, "added") - said(output, "deleting") <= held
        assert not said(output, "deleted") & held
