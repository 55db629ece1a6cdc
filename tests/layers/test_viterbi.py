"""Chains against enumeration of all of them, and decoding that never breaks IOB2."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.data.cells.tag_schemes import convert
from polyfuse.layers.viterbi import best_chain, iob2_steps, log_sum_of_chains, score_of_chain

CLASSES = ["O", "B-X", "I-X", "B-Y", "I-Y"]
LENGTHS = torch.tensor([4, 2, 1, 0])


def drawn(seed=0, forbidden=False):
    draw = torch.Generator().manual_seed(seed)
    steps, first = iob2_steps(CLASSES) if forbidden else (torch.zeros(5, 5), torch.zeros(5))
    steps, first = steps + torch.randn(5, 5, generator=draw), first + torch.randn(5, generator=draw)
    return torch.randn(4, 4, 5, generator=draw), steps, first, torch.randn(5, generator=draw)


def every_chain(scores_WC, steps, first, last):
    """Score of each chain of a row, by its classes."""
    found = {}
    for chain in product(range(5), repeat=len(scores_WC)):
        score = first[chain[0]] + last[chain[-1]] + sum(scores_WC[at, c] for at, c in enumerate(chain))
        found[chain] = score + sum(steps[a, b] for a, b in pairwise(chain))
    return found


@pytest.mark.parametrize("forbidden", [False, True])
def test_chains_are_those_of_enumeration(forbidden):
    scores, steps, first, last = drawn(forbidden=forbidden)
    best = best_chain(scores, LENGTHS, steps, first, last)
    total = log_sum_of_chains(scores, LENGTHS, steps, first, last)
    for row, length in enumerate(LENGTHS.tolist()[:3]):
        chains = every_chain(scores[row, :length], steps, first, last)
        assert tuple(best[row, :length].tolist()) == max(chains, key=chains.get)
        assert total[row] == pytest.approx(float(torch.stack(list(chains.values())).logsumexp(0)), abs=1e-4)
        for chain in list(chains)[:: max(1, len(chains) // 7)]:
            classes = torch.zeros(4, 4, dtype=torch.int64)
            classes[row, :length] = torch.tensor(chain)
            assert score_of_chain(scores, classes, LENGTHS, steps, first, last)[row] == pytest.approx(
                float(chains[chain]), rel=1e-5, abs=1e-4
            )
    assert total[3] == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_decoding_never_breaks_iob2(seed):
    scores = 5 * torch.randn(4, 4, 5, generator=torch.Generator().manual_seed(seed))
    best = best_chain(scores, LENGTHS, *iob2_steps(CLASSES), torch.zeros(5))
    for row, length in zip(best.tolist(), LENGTHS.tolist(), strict=True):
        tags = [CLASSES[n] for n in row[:length]]
        assert convert(tags, "iob2") == tags


def test_sums_are_float32_under_autocast():
    scores, *chain = drawn()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert log_sum_of_chains(scores.bfloat16(), LENGTHS, *chain).dtype == torch.float32


def test_no_word_at_all():
    _, *chain = drawn()
    empty, lengths = torch.zeros(2, 0, 5), torch.zeros(2, dtype=torch.int64)
    assert best_chain(empty, lengths, *chain).shape == (2, 0)
    assert log_sum_of_chains(empty, lengths, *chain).tolist() == [0, 0]
    assert score_of_chain(empty, torch.zeros(2, 0, dtype=torch.int64), lengths, *chain).tolist() == [0, 0]
