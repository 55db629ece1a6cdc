"""Exact search against sorting all cosines, whatever is kept and asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.search import scan
from polyfuse.search.scan import Scan


def units(rows, size, rng):
    x = rng.normal(size=(rows, size)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@given(
    rows=st.integers(0, 5000),
    queries=st.integers(1, 4),
    k=st.integers(1, 12),
    share=st.sampled_from([None, 0.0, 0.02, 0.2, 0.6, 1.0]),
    most=st.sampled_from([1, scan.MOST_AGAIN]),
    seed=st.integers(0, 9999),
)
@settings(max_examples=60, deadline=None)
def test_it_finds_what_sorting_finds(rows, queries, k, share, most, seed):
    rng = np.random.default_rng(seed)
    x, q = units(rows, 8, rng), units(queries, 8, rng)
    keep = None if share is None else rng.random(rows) < share
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "MOST_AGAIN", most)  # 1: rows are chosen singly, as for a great k
        found, scores = Scan(x).top(q, k, keep)
    allowed = np.arange(rows) if keep is None else np.flatnonzero(keep)
    assert found.shape == scores.shape == (queries, min(k, len(allowed)))
    for n in range(queries):
        exact = x[allowed] @ q[n]
        best = allowed[np.argsort(-exact, kind="stable")][: found.shape[1]]
        assert np.allclose(x[found[n]] @ q[n], x[best] @ q[n], atol=1e-6)
        assert np.allclose(scores[n], x[found[n]] @ q[n], atol=1e-6)
        assert len(set(found[n].tolist())) == found.shape[1]
        assert set(found[n].tolist()) <= set(allowed.tolist())


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    x, q = units(500, 16, rng), units(3, 16, rng)
    whole = Scan(x).top(q, 7)
    monkeypatch.setattr(scan, "BLOCK", 32 * 16)
    monkeypatch.setattr(scan, "STRETCH", 3)
    parts = Scan(x).top(q, 7)
    assert np.array_equal(whole[0], parts[0])
    assert np.allclose(whole[1], parts[1])


def test_what_half_precision_confuses_is_settled_in_single():
    base = np.zeros((3, 4), np.float32)
    base[:, 0] = 1
    base[:, 1] = [0.0, 1e-4, 2e-4]  # equal in half precision
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    assert len(np.unique(base.astype(np.float16)[:, 0])) == 1
    query = np.array([[0.0, 1.0, 0.0, 0.0]], np.float32) + base[2]
    found, _ = Scan(base).top(query / np.linalg.norm(query), 1)
    assert found.tolist() == [[2]]


def test_equal_scores_come_in_the_order_of_the_rows():
    x = np.tile(np.array([[1.0, 0.0]], np.float32), (20, 1))
    assert Scan(x).top(x[:1], 5)[0].tolist() == [[0, 1, 2, 3, 4]] or pytest.fail("order")


def test_two_precisions_that_differ_are_damage():
    x = units(50, 8, np.random.default_rng(0))
    half = x.astype(np.float16)
    half[7] = -half[7]
    with pytest.raises(scan.DamagedVectors):
        Scan(x, half).top(-x[7:8], 3)
    assert Scan(x, x.astype(np.float16)).top(x[7:8], 3)[0][0, 0] == 7
