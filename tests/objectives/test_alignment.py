"""Alignments against their papers' formulas in float64, and what rows may be to each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse import registry
from polyfuse.objectives.pairs import aligned_pairs, same_rows
from polyfuse.records import Batch, Cells, State, Tokens

NAMES = ["a", "b"]


def scene(rows=7, size=5, cells=None, present=None, seed=0, keys=None):
    draw = torch.Generator().manual_seed(seed)
    index = {n: torch.arange(rows) for n in NAMES} | {n: torch.tensor(at) for n, at in (cells or {}).items()}
    here = torch.ones(rows, 2, dtype=torch.bool) if present is None else torch.tensor(present)
    encoded = {n: Tokens(torch.zeros(rows, 1, 4), here[:, m, None]) for m, n in enumerate(NAMES)}
    shared = {n: torch.randn(rows, size, generator=draw, dtype=torch.float64).requires_grad_() for n in NAMES}
    inputs = {n: Cells({"x": torch.zeros(rows)}, at[:, None]) for n, at in index.items()}
    codes = {name: torch.tensor(code) for name, code in (keys or {}).items()}
    return State(encoded, shared=shared), Batch(inputs, {}, torch.arange(rows), torch.ones(rows), codes)


def loss_of(name, state, batch, **keywords):
    objective = registry.objective(name)(NAMES, 4, **keywords).double()
    return objective.loss(objective.represent(state), batch, {}), objective


def arrays(state):
    return [state.shared[n].detach().numpy() for n in NAMES]


def normed(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def log_softmax(x, axis):
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def hinge(near, same, margin, pick):
    total = []
    for row in range(len(near)):
        own, others = near[row, row], [near[row, j] for j in range(len(near)) if not same[row, j]]
        total.append(max(0.0, margin + pick(own, others) - own) if others else 0.0)
    return np.array(total)


def hardest(_, others):
    return max(others)


def semihard(own, others):
    farther = [o for o in others if o < own]
    return max(farther) if farther else min(others)


def formula(name, one, two, same):
    own = np.eye(len(one), dtype=bool)
    if name == "clip":
        logits = np.where(same & ~own, -np.inf, normed(one) @ normed(two).T / 0.07)
        return -(np.diag(log_softmax(logits, 1)) + np.diag(log_softmax(logits, 0))).mean() / 2
    if name == "siglip":
        logits = 10 * normed(one) @ normed(two).T - 10
        terms = np.log1p(np.exp(-np.where(own, 1, -1) * logits))
        return (terms * (own | ~same)).sum(1).mean()
    if name in ("semihard", "hardest"):
        near, pick = normed(one) @ normed(two).T, semihard if name == "semihard" else hardest
        return (hinge(near, same, 0.2, pick) + hinge(near.T, same.T, 0.2, pick)).mean()
    if name == "vicreg":
        together = ((one - two) ** 2).mean()
        spread = np.mean([np.maximum(0, 1 - np.sqrt(x.var(0, ddof=1) + 1e-4)).mean() for x in (one, two)])
        crossed = 0.0
        for x in (one, two):
            cov = np.cov(x.T)
            crossed += (cov**2).sum() - (np.diag(cov) ** 2).sum()
        return 25 * together + 25 * spread + crossed / one.shape[1]
    if name == "barlow":
        one, two = ((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-6) for x in (one, two))
        corr = one.T @ two / len(one)
        return ((1 - np.diag(corr)) ** 2).sum() + 0.005 * ((corr**2).sum() - (np.diag(corr) ** 2).sum())
    z, both = normed(np.concatenate([one, two])), np.tile(same, (2, 2))
    self_ = np.eye(len(z), dtype=bool)
    logs = log_softmax(np.where(self_, -1e9, z @ z.T / 0.1), 1)
    positive = both & ~self_
    return np.mean([-logs[v][positive[v]].mean() for v in range(len(z)) if positive[v].any()])


FORMULAS = ["clip", "siglip", "semihard", "hardest", "vicreg", "barlow", "supcon"]


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_formula_of_its_paper_in_value_and_gradient(name):
    cells = {"a": [0, 1, 2, 2, 3, 4, 5]}  # rows 2 and 3 share a picture
    state, batch = scene(cells=cells)
    keywords = {"negatives": name} if name in ("semihard", "hardest") else {}
    loss, _ = loss_of("triplet" if keywords else name, state, batch, **keywords)
    one, two = arrays(state)
    same = np.eye(7, dtype=bool)
    same[2, 3] = same[3, 2] = True
    assert loss.item() == pytest.approx(formula(name, one, two, same), rel=1e-5)
    loss.backward()
    direction = np.random.default_rng(1).normal(size=one.shape)
    step = 1e-5
    slope = (formula(name, one + step * direction, two, same) - formula(name, one - step * direction, two, same)) / (
        2 * step
    )
    assert (state.shared["a"].grad.numpy() * direction).sum() == pytest.approx(slope, rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("name", ["clip", "siglip", "triplet"])
def test_equal_cells_and_equal_keys_are_never_negatives(name):
    """Whatever a row that stands for the same thing lies at, the others' loss stays."""
    state, batch = scene(rows=3, cells={"a": [0, 0, 1]}, keys={"id": [0, 1, 0]})
    rows = {"cells": ((0, 1), None), "key": ((0, 2), "id")}
    for (first, other), key in rows.values():
        objective = registry.objective(name)(NAMES, 4, key=key).double()
        state.shared["b"].data[other] = state.shared["a"].data[first]  # the hardest negative there could be
        near = torch.autograd.grad(objective.loss(objective.represent(state), batch, {}), state.shared["a"])[0]
        assert torch.isfinite(near).all()
        same = same_rows(batch, NAMES, key)
        assert same[first, other]
    ids = same_rows(batch, NAMES, "id")
    assert ids.tolist() == [[True, True, True], [True, True, False], [True, False, True]]


@pytest.mark.parametrize("name", ["clip", "siglip", "supcon", "triplet", "vicreg", "barlow"])
@given(present=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=0, max_size=6), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_rows_without_both_inputs_count_for_nothing(name, present, seed):
    state, batch = scene(rows=6, present=[*present, *[(True, True)] * (6 - len(present))], seed=seed)
    keep = [row for row, both in enumerate(present) if all(both)] + list(range(len(present), 6))
    if name == "supcon":  # a vector alone still has its place among the others
        keep = list(range(6))
    loss, _ = loss_of(name, state, batch)
    assert torch.isfinite(loss)
    fewer = State({n: Tokens(t.x_BTD[keep], t.mask_BT[keep]) for n, t in state.encoded.items()})
    fewer.shared = {n: x[keep] for n, x in state.shared.items()}
    inputs = {n: Cells(c.fields, c.index_BK[keep]) for n, c in batch.inputs.items()}
    small = Batch(inputs, {}, batch.rows_B[keep], batch.weights_B[keep])
    torch.testing.assert_close(loss_of(name, fewer, small)[0], loss)


@pytest.mark.parametrize("name", ["clip", "siglip", "supcon", "triplet", "vicreg", "barlow"])
def test_a_row_of_weight_zero_counts_for_nothing(name):
    keys = {"id": [0, 1, 0, 2, 1, 3, 2]}
    state, batch = scene(keys=keys)
    keywords = {"key": "id"} if name == "supcon" else {}
    batch.weights_B = torch.tensor([1.0, 0.0, 2.0, 1.0, 0.5, 0.0, 1.5])
    keep = [0, 2, 3, 4, 6]
    loss, _ = loss_of(name, state, batch, **keywords)
    fewer = State({n: Tokens(t.x_BTD[keep], t.mask_BT[keep]) for n, t in state.encoded.items()})
    fewer.shared = {n: x[keep] for n, x in state.shared.items()}
    inputs = {n: Cells(c.fields, c.index_BK[keep]) for n, c in batch.inputs.items()}
    codes = {n: code_B[keep] for n, code_B in batch.keys.items()}
    small = Batch(inputs, {}, batch.rows_B[keep], batch.weights_B[keep], codes)
    assert loss.item() > 0
    torch.testing.assert_close(loss_of(name, fewer, small, **keywords)[0], loss)


@pytest.mark.parametrize("name", ["clip", "siglip", "supcon", "triplet"])
def test_a_light_batch_moves_less_than_a_heavy_one(name):
    state, batch = scene(keys={"id": [0, 1, 0, 2, 1, 3, 2]})
    keywords = {"key": "id"} if name == "supcon" else {}
    whole = loss_of(name, state, batch, **keywords)[0]
    batch.weights_B = batch.weights_B / 4
    torch.testing.assert_close(loss_of(name, state, batch, **keywords)[0], whole / 4)


@pytest.mark.parametrize("name", ["vicreg", "barlow"])
def test_a_row_that_stands_twice_weighs_two_in_statistics(name):
    state, batch = scene()
    batch.weights_B[3] = 2.0
    twice = [0, 1, 2, 3, 3, 4, 5, 6]
    more = State({n: Tokens(t.x_BTD[twice], t.mask_BT[twice]) for n, t in state.encoded.items()})
    more.shared = {n: x[twice] for n, x in state.shared.items()}
    inputs = {n: Cells(c.fields, torch.arange(8)[:, None]) for n, c in batch.inputs.items()}
    large = Batch(inputs, {}, torch.arange(8), torch.ones(8))
    own = {} if name == "barlow" else {"invariance": 0.0, "variance": 0.0}
    one, other = (loss_of(name, s, b, **own)[0].item() for s, b in ((state, batch), (more, large)))
    # an unbiased estimate knows how many rows there are
    assert one * (1 if name == "barlow" else ((8 / 7) / (7 / 6)) ** 2) == pytest.approx(other, rel=1e-5)


def test_a_star_compares_with_its_centre_alone():
    names = ["image", "english", "chinese"]
    assert aligned_pairs(names, None, None) == [("image", "english"), ("image", "chinese"), ("english", "chinese")]
    assert aligned_pairs(names, None, "english") == [("english", "image"), ("english", "chinese")]
    assert aligned_pairs(names, ["image", "chinese"], None) == [("image", "chinese")]
    assert aligned_pairs(names, ["chinese"], "image") == [("image", "chinese")]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"between": ["a", "c"]}, "there is no input 'c'"),
        ({"between": ["a"]}, "needs two at least, found a"),
        ({"temperature": 0.001}, "expected 0 < floor <= temperature"),
    ],
)
def test_what_cannot_be_aligned_is_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        registry.objective("clip")(NAMES, 4, **keywords)


def test_the_temperature_keeps_its_floor():
    objective = registry.objective("clip")(NAMES, 4, temperature=0.02, floor=0.01)
    objective.log_scale.data.fill_(50.0)
    assert objective.scale.item() == pytest.approx(100.0, rel=1e-5)
    assert math.isclose(registry.objective("clip")(NAMES, 4).scale.item(), 1 / 0.07, rel_tol=1e-5)
