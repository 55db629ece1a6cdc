from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.metrics.retrieval import rank_queries, summarise_ranks


def by_hand(score, relevant):
    """Rank and average precision by the definition, where no two scores are equal."""
    order = np.argsort(-score)
    hits = relevant[order]
    places = np.flatnonzero(hits) + 1
    return places[0], np.mean([(n + 1) / place for n, place in enumerate(places)])


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_ranks_and_precision_are_those_of_the_definition(queries, gallery, seed):
    rng = np.random.default_rng(seed)
    q, g = rng.normal(size=(queries, 5)), rng.normal(size=(gallery, 5))
    relevant = rng.random((queries, gallery)) < 0.2
    rank, precision = rank_queries(q, g, lambda at: relevant[at])
    for n in range(queries):
        if relevant[n].any():
            assert (rank[n], precision[n]) == pytest.approx(by_hand(q[n] @ g.T, relevant[n]))
        else:
            assert np.isnan(rank[n])
            assert np.isnan(precision[n])


def test_a_space_that_collapsed_is_at_chance():
    same, own = np.ones((100, 3)), np.eye(100, dtype=bool)
    rank, precision = rank_queries(same, same, lambda at: own[at])
    assert (rank == 50.5).all()
    assert summarise_ranks(rank, precision, np.ones(100))["recall@10"][0] == 0


def test_weights_count_queries_more_than_once():
    rank, precision = np.array([1.0, 7.0, 40.0, np.nan]), np.array([1.0, 0.2, 0.1, np.nan])
    found = summarise_ranks(rank, precision, np.array([[1, 1, 1, 5], [2, 0, 1, 0]]))
    assert found["recall@1"] == pytest.approx([1 / 3, 2 / 3])
    assert found["recall@10"] == pytest.approx([2 / 3, 2 / 3])
    assert found["median_rank"].tolist() == [7.0, 1.0]
    assert found["map"] == pytest.approx([1.3 / 3, 0.7])


def test_nothing_relevant_gives_no_number():
    found = summarise_ranks(np.full(3, np.nan), np.full(3, np.nan), np.ones((2, 3)))
    assert np.isnan(found["median_rank"]).all()
