"""Gated attention against its formula in NumPy; closed gates at the start; the choice of the query."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyfuse.fusion.attention_gated import GatedAttention
from polyfuse.records import Tokens
from tests.fusion import reference as r


def gated(query, depth=2):
    """x + tanh(alpha) A(x, y), then x + tanh(beta) F(x); a learned token stands before the query's own."""

    def rows(w, row, heads):
        x = np.concatenate([w["asking"][None], row[query]])
        others = [y + w["modality"][m] for m, y in enumerate(y for name, y in row.items() if name != query)]
        for at in (f"blocks.{layer}" for layer in range(depth)):
            if others:
                normed = r.norm(w, f"{at}.norm_attention", x), r.norm(w, f"{at}.norm_context", np.concatenate(others))
                x = x + np.tanh(w[f"{at}.gate_attention"]) * r.attention(w, f"{at}.attention", *normed, heads)
            normed = r.norm(w, f"{at}.norm_forward", x)
            x = x + np.tanh(w[f"{at}.gate_forward"]) * r.forward_layer(w, f"{at}.forward_layer", normed)
        return {"": x[:1], **row, query: x[1:]}

    return rows


@pytest.mark.parametrize(("count", "query"), [(1, "i0"), (2, "i1"), (3, "i0")])
def test_equals_the_formula_with_unequal_lengths_and_missing_inputs(count, query):
    fusion = r.made("attention_gated", count, query=query)
    assert r.forward_error(fusion, gated(query), r.drawn(count)) < 1e-11
    assert r.gradient_error(fusion, gated(query), r.drawn(count)) < 1e-8


@pytest.mark.parametrize("query", ["i0", "i1"])
def test_closed_gates_leave_every_token_as_it_was(query):
    tokens = r.drawn(2)
    fusion = GatedAttention(["i0", "i1"], r.WIDTH, query=query).double()
    fused = fusion(tokens)
    for name, before in tokens.items():
        assert torch.equal(fused.by_input[name].x_BTD, before.x_BTD)
    assert torch.equal(fused.tokens.x_BTD[:, 1:], tokens[query].x_BTD)


def test_a_row_without_the_query_still_hears_the_others():
    fusion, tokens = r.made("attention_gated", 2), r.drawn(2)
    row = next(n for n, p in enumerate(tokens["i0"].present_B) if not p and tokens["i1"].present_B[n])
    changed = {**tokens, "i1": Tokens(tokens["i1"].x_BTD + torch.randn(r.WIDTH).double(), tokens["i1"].mask_BT)}
    one, two = (fusion(given).tokens for given in (tokens, changed))
    assert one.mask_BT[row].tolist() == [True] + [False] * (one.mask_BT.shape[1] - 1)
    assert (one.x_BTD[row, 0] - two.x_BTD[row, 0]).abs().max() > 1e-3


def test_the_query_is_the_first_input_unless_named():
    assert GatedAttention(["text", "image"], 8).query == "text"
    assert GatedAttention(["text", "image"], 8, query="image").query == "image"
    with pytest.raises(ValueError, match="unknown query input 'imag'; did you mean 'image'"):
        GatedAttention(["text", "image"], 8, query="imag")
