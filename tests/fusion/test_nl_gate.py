"""The non-local gate against its paper, and who asks whom."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.fusion.nl_gate import NLGate
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH, alone, draw, errors, normed, pooled, shaken


def non_local(query):
    """q + O softmax(q k / sqrt(D)) v over the real tokens of the others, token by token; then the mean."""

    def reference(a, masks):
        def layer(name, x):
            return x @ a[f"attention.{name}.weight"].T + a[f"attention.{name}.bias"]

        others = [m for m in range(len(masks)) if m != query] or [query]
        x, mask = a[f"i{query}"] * masks[query][..., None], masks[query].copy()
        mask[~mask.any(1), 0] = True
        out = x.copy()
        for row in range(len(x)):
            seen = [
                normed(a[f"i{m}"][row], a[f"norms.{at}.weight"], a[f"norms.{at}.bias"])[masks[m][row]]
                for at, m in enumerate(others)
            ]
            context = np.concatenate(seen)
            if not len(context):
                continue
            score = layer("query", normed(x[row], a["norm.weight"], a["norm.bias"])) @ layer("key", context).T
            weight = np.exp(score / WIDTH**0.5)
            out[row] += layer("out", weight / weight.sum(1, keepdims=True) @ layer("value", context))
        return pooled(out, mask)

    return reference


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(), data=st.data())
def test_the_papers_formula(tokens, data):
    query = data.draw(st.integers(0, len(tokens) - 1))
    fusion = shaken(NLGate(list(tokens), WIDTH, query=f"i{query}", heads=1, depth=0))
    value, gradient = errors(fusion, non_local(query), tokens)
    assert value < 1e-11
    assert gradient < 1e-7


def test_a_row_without_others_stays_as_it_is():
    fusion = shaken(NLGate(["i0", "i1"], WIDTH, heads=1, depth=0))
    tokens = draw([3, 2], torch.tensor([[True, False]] * 3))
    after, mask_BT = fusion(tokens).by_input["i0"].x_BTD, tokens["i0"].mask_BT
    assert torch.equal(after[mask_BT], tokens["i0"].x_BTD[mask_BT])


def test_others_still_speak_where_the_asking_input_is_absent():
    tokens = draw([3, 2], torch.tensor([[False, True]] * 2))
    x_BD = alone(shaken(NLGate(["i0", "i1"], WIDTH, heads=1)), tokens)
    assert (x_BD[0] - x_BD[1]).abs().max() > 1e-3


def test_an_unknown_query_is_an_error_with_the_nearest_name():
    assert NLGate(["text", "image"], WIDTH, query="image", heads=1).query == "image"
    with pytest.raises(ValueError, match="did you mean 'text'"):
        NLGate(["text", "image"], WIDTH, query="txet")
