"""Approximate search against the exact one: what it finds, what it may not find, and when it steps aside."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from polyfuse.search import approximate, folder
from polyfuse.search.folder import IndexFolder
from polyfuse.search.scan import Scan
from polyfuse.search.store import arrow, new_ids
from tests.search.conftest import needs_store

pytestmark = needs_store

ROWS, SIZE = 3000, 16


def clustered(rng, rows):
    centres = rng.normal(size=(40, SIZE))
    x = centres[rng.integers(0, 40, rows)] + 0.4 * rng.normal(size=(rows, SIZE))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    x = clustered(np.random.default_rng(0), ROWS)
    file = tmp_path_factory.mktemp("faiss") / "0.faiss"
    facts = approximate.build(file, Scan(x), [x])
    return x, file, facts


@pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 0.1, 0.001])
def test_it_finds_nearly_all_that_a_scan_finds_whatever_is_kept(built, share):
    x, file, facts = built
    assert facts["recall"] >= approximate.AIM
    rng, whole = np.random.default_rng(1), Scan(x)
    keep = rng.random(ROWS) < share
    hits = asked = 0
    for query in clustered(np.random.default_rng(0), ROWS)[rng.choice(ROWS, 100)]:
        exact, scores = (side[0] for side in whole.top(query[None], 10, keep))
        near = approximate.open_index(file).over(whole).top(query, 10, keep)
        assert (near is None) == (share < 0.25)  # few rows are gathered and scanned
        found, own = near or (exact, scores)
        assert keep[found].all()
        assert np.allclose(own, x[found] @ query, atol=1e-6)
        hits, asked = hits + len(np.intersect1d(found, exact)), asked + len(exact)
    assert hits >= 0.97 * asked


def test_rows_that_came_later_are_found_as_a_scan_finds_them(built):
    x, file, _ = built
    more = np.concatenate([x, clustered(np.random.default_rng(5), 200)])
    near = approximate.open_index(file).over(Scan(more)).top(more[-1], 3, None)
    assert near[0][0] == len(more) - 1


def test_many_that_are_asked_for_are_scanned(built):
    x, file, _ = built
    assert approximate.open_index(file).over(Scan(x)).top(x[0], approximate.MOST_ASKED + 1, None) is None


@pytest.mark.parametrize("how", ["short", "no facts", "no file", "other facts"])
def test_a_damaged_file_is_none(built, tmp_path, how):
    _, file, _ = built
    copy = tmp_path / "0.faiss"
    copy.write_bytes(file.read_bytes()[: -40 if how == "short" else None])
    facts = json.loads(file.with_name("0.faiss.json").read_text())
    copy.with_name("0.faiss.json").write_text("[" if how == "other facts" else json.dumps(facts))
    if how == "no facts":
        copy.with_name("0.faiss.json").unlink()
    if how == "no file":
        copy.unlink()
    assert approximate.open_index(copy) is None


def test_an_index_follows_adds_and_deletes(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)

    def rows(count):
        frame = pd.DataFrame({"row": np.arange(count), "n": rng.integers(0, 99, count)})
        return {"image": (clustered(rng, count), np.ones(count, bool))}, frame

    facts = {"fingerprint": "x", "inputs": {"image": "image"}, "size": SIZE}
    made = IndexFolder.create(
        tmp_path / "i", facts, [arrow(new_ids(ROWS), *rows(ROWS), {})], lambda place: place.mkdir()
    )
    query = np.ones(SIZE, np.float32)

    def both(**options):
        return [made.search(query, find=["image"], approximate=a, **options).id.tolist() for a in (True, False)]

    quick, exact = both()
    assert len(set(quick) & set(exact)) >= 9
    assert list((tmp_path / "i" / "derived").glob("*/*.faiss"))
    made.delete(ids=exact[:3])
    ids = made.add({"image": (query[None] / 4, np.ones(1, bool))}, pd.DataFrame({"row": [0], "n": [5]}), {})
    quick, exact = both()
    assert quick[0] == exact[0] == ids[0]
    assert len(set(quick) & set(exact)) >= 9
    assert both(where="n < 3")[0] == both(where="n < 3")[1]
    made.compact(approximate=True)
    quick, exact = both()
    assert len(set(quick) & set(exact)) >= 9
    assert made.search(query, find=["image"]).id.tolist() == exact  # this few are scanned by default
    monkeypatch.setattr(folder, "APPROXIMATE_FROM", 100)
    monkeypatch.setattr(Scan, "top", None)  # above that size no scan is needed
    assert made.search(query, find=["image"]).id.tolist() == quick
    monkeypatch.undo()
    monkeypatch.setattr(approximate, "is_installed", lambda: False)
    assert made.search(query, find=["image"]).id.tolist() == exact
