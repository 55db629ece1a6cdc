"""Factorised bilinear pooling against its paper."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.fusion.mfb import MFB
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH, alone, errors, normed_means, shaken


def summed(a, masks):
    """sum-pool(U x * V y) over the present inputs of each row: z_d = sum over group d of the products."""
    found = normed_means(a, masks)
    rank = len(a["project.0.bias"]) // WIDTH
    z = np.zeros((len(found[0][0]), WIDTH))
    for row in range(len(z)):
        for d in range(WIDTH):
            for k in range(d * rank, (d + 1) * rank):
                factors = [
                    a[f"project.{m}.weight"][k] @ x[row] + a[f"project.{m}.bias"][k]
                    for m, (x, there) in enumerate(found)
                    if there[row]
                ]
                z[row, d] += np.prod(factors)
    return z


def pooled_normalised(a, masks):
    """sign(z) sqrt(|z|), l2 normalised, times the root of D."""
    z = summed(a, masks)
    root = np.sign(z) * np.sqrt(np.abs(z))
    return root / np.linalg.norm(root, axis=1, keepdims=True) * WIDTH**0.5


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(), rank=st.integers(1, 4), seed=st.integers(0, 1000))
def test_the_papers_formula(tokens, rank, seed):
    torch.manual_seed(seed)
    fusion = shaken(MFB(list(tokens), WIDTH, rank=rank), seed)
    arrays = {n: p.detach().numpy() for n, p in fusion.named_parameters()}
    arrays |= {n: t.x_BTD.numpy() for n, t in tokens.items()}
    nearest = np.abs(summed(arrays, [t.mask_BT.numpy() for t in tokens.values()])).min()
    value, gradient = errors(fusion, pooled_normalised, tokens)
    # the square root is smoothed at 0 (1e-6), where the paper's gradient has no end: |error| <= 5e-7 / |z|
    assert value < 1e-5 + 5e-6 / nearest**0.5
    if nearest > 1e-2:
        assert gradient < 1e-3


@settings(max_examples=15, deadline=None)
@given(tokens=inputs())
def test_every_row_has_the_same_length(tokens):
    x_BD = alone(shaken(MFB(list(tokens), WIDTH)), tokens)
    torch.testing.assert_close(x_BD.square().mean(1), torch.ones(len(x_BD), dtype=torch.float64), rtol=1e-4, atol=1e-4)
