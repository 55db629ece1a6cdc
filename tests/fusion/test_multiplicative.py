"""Multiplicative interactions against their paper: a full bilinear tensor for two inputs, all pairs for more."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.fusion.multiplicative import Multiplicative
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH, alone, errors, normed_means, shaken


def pairs(a, masks):
    """sum over pairs of x_i' W_ij x_j, each W_ij built in full, + sum_i U_i x_i + b."""
    found = [x for x, _ in normed_means(a, masks)]
    out = np.concatenate(found, 1) @ a["alone.weight"].T + a["alone.bias"]
    for i, j in combinations(range(len(found)), 2):
        tensor = np.einsum("dr,ri,rj->dij", a["out.weight"], a[f"factors.{i}.weight"], a[f"factors.{j}.weight"])
        out = out + np.einsum("dij,bi,bj->bd", tensor, found[i], found[j])
    return out


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(), rank=st.integers(1, 5))
def test_the_papers_formula(tokens, rank):
    value, gradient = errors(shaken(Multiplicative(list(tokens), WIDTH, rank=rank)), pairs, tokens)
    assert value < 1e-11
    assert gradient < 1e-8


@settings(max_examples=10, deadline=None)
@given(tokens=inputs(2, 4))
def test_a_row_with_one_input_is_linear_in_it(tokens):
    for t in list(tokens.values())[1:]:
        t.mask_BT.zero_()
    fusion = shaken(Multiplicative(list(tokens), WIDTH))
    x_BMD, _ = fusion.pool(tokens)
    torch.testing.assert_close(alone(fusion, tokens), fusion.alone(x_BMD.flatten(1)))


def test_parameters_grow_with_inputs_not_with_pairs():
    counts = [sum(p.numel() for p in Multiplicative([f"i{m}" for m in range(n)], 64).parameters()) for n in (2, 3, 4)]
    assert counts[2] - counts[1] == counts[1] - counts[0]
