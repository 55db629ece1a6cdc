"""Bidirectional attention against its formula in NumPy; a long partner has no more say than a short one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyfuse.records import Tokens
from tests.fusion import reference as r


def bidirectional(w, row, heads):
    """x_i + mean over present j of A(x_i, x_j), then a feed-forward layer."""
    streams = dict(row)
    for layer in range(2):
        at = f"layers.{layer}"
        if len(row) > 1:
            normed = {name: r.norm(w, f"{at}.norms.{m}", x) for m, (name, x) in enumerate(streams.items())}
            for i, name in enumerate(row):
                heard = [
                    r.attention(w, f"{at}.attend.{j}_to_{i}", normed[name], normed[other], heads)
                    for j, other in enumerate(row)
                    if other != name and len(row[other])
                ]
                streams[name] = streams[name] + (np.mean(heard, 0) if heard else 0)
        for i, (name, x) in enumerate(streams.items()):
            layers = f"{at}.forwards.{i}"
            streams[name] = x + r.forward_layer(w, f"{layers}.1", r.norm(w, f"{layers}.0", x))
    return r.joined(w, "joined", streams)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_equals_the_formula_with_unequal_lengths_and_missing_inputs(count):
    fusion = r.made("bidirectional", count, depth=2)
    assert r.forward_error(fusion, bidirectional, r.drawn(count)) < 1e-11
    assert r.gradient_error(fusion, bidirectional, r.drawn(count)) < 1e-8


def test_repeating_a_partners_tokens_changes_nothing():
    tokens = {f"i{m}": Tokens(torch.randn(2, 3, 8).double(), torch.ones(2, 3, dtype=torch.bool)) for m in range(3)}
    longer = {**tokens, "i1": Tokens(*(torch.cat([v] * 4, 1) for v in (tokens["i1"].x_BTD, tokens["i1"].mask_BT)))}
    fusion = r.made("bidirectional", 3)
    torch.testing.assert_close(fusion(longer).by_input["i0"].x_BTD, fusion(tokens).by_input["i0"].x_BTD)
