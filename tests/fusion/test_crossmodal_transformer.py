"""MulT against its formula in NumPy, pooling, recomputation in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyfuse.fusion import crossmodal_transformer
from polyfuse.records import Tokens
from tests.fusion import reference as r

POOLS = {"mean": r.mean, "last": r.last}


def mult(pool, depth, self_depth):
    """Z(j -> i) reads source j in every layer; sources joined on D; self-attention; then pooled and joined."""

    def rows(w, row, heads):
        streams = {}
        for i, (target, x) in enumerate(row.items()):
            heard = []
            for j, y in enumerate(y for source, y in row.items() if source != target):
                z = x
                for layer in range(depth):
                    z = r.cross_block(w, f"targets.{i}.stacks.{j}.{layer}", z, y, heads)
                heard.append(z)
            z = np.concatenate(heard or [x], -1)
            for layer in range(self_depth):
                z = r.block(w, f"targets.{i}.blocks.{layer}", z, heads)
            streams[target] = r.linear(w, f"targets.{i}.project", z)
        return r.joined(w, "joined", streams, POOLS[pool])

    return rows


@pytest.mark.parametrize(("count", "pool", "depth"), [(1, "mean", 2), (2, "last", 2), (3, "mean", 2)])
def test_equals_the_formula_with_unequal_lengths_and_missing_inputs(count, pool, depth):
    fusion, formula = r.made("crossmodal_transformer", count, pool=pool, depth=depth), mult(pool, depth, 1)
    assert r.forward_error(fusion, formula, r.drawn(count)) < 1e-11
    assert r.gradient_error(fusion, formula, r.drawn(count)) < 1e-8


def test_recomputing_the_stacks_changes_no_gradient(monkeypatch):
    inputs = [f"i{m}" for m in range(4)]
    torch.manual_seed(0)
    fusion = crossmodal_transformer.CrossmodalTransformer(inputs, 8)
    tokens = {n: Tokens(torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool)) for n in inputs}
    found = []
    for threshold in (3, 9):
        monkeypatch.setattr(crossmodal_transformer, "RECOMPUTED_FROM", threshold)
        torch.manual_seed(1)
        fusion.zero_grad()
        fusion(tokens).tokens.x_BTD.pow(2).sum().backward()
        found.append([p.grad.clone() for p in fusion.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_unknown_pool():
    with pytest.raises(ValueError, match="pool: expected one of mean, last, found 'max'"):
        r.made("crossmodal_transformer", 2, pool="max")
