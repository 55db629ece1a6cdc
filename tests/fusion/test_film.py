"""FiLM against its paper, and what is modulated by what."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyfuse.fusion.film import FiLM
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH, alone, draw, errors, normed, normed_means, shaken


def film(query, depth):
    """x <- x + W' relu(gamma norm(W x) + beta), token by token, gamma and beta of the others; then the max."""

    def reference(a, masks, tokens_too=True):
        others = [m for m in range(len(masks)) if m != query] or [query]
        y = np.concatenate([x for x, _ in normed_means(a, masks, "context", others)], 1)
        x, mask = a[f"i{query}"] * masks[query][..., None], masks[query].copy()
        mask[~mask.any(1), 0] = True
        for layer in range(depth):
            p = {k: a[f"layers.{layer}.{k}"] for k in ("inner.weight", "inner.bias", "out.weight", "out.bias")}
            change = y @ a[f"layers.{layer}.modulate.weight"].T
            gamma, beta = 1 + change[:, None, :WIDTH], change[:, None, WIDTH:]
            hidden = gamma * normed(x @ p["inner.weight"].T + p["inner.bias"]) + beta
            x = x + np.maximum(hidden, 0) @ p["out.weight"].T + p["out.bias"]
        return np.concatenate([np.where(mask[..., None], x, -np.inf).max(1), x.reshape(len(x), -1)], 1)

    return reference


@settings(max_examples=15, deadline=None)
@given(tokens=inputs(), depth=st.integers(1, 3), data=st.data())
def test_the_papers_formula(tokens, depth, data):
    query = data.draw(st.integers(0, len(tokens) - 1))
    fusion = shaken(FiLM(list(tokens), WIDTH, query=f"i{query}", depth=depth))

    def values(fusion, tokens):
        fused = fusion(tokens)
        return torch.cat([fused.tokens.x_BTD[:, 0], fused.by_input[f"i{query}"].x_BTD.flatten(1)], 1)

    value, gradient = errors(fusion, film(query, depth), tokens, values)
    assert value < 1e-10
    assert gradient < 1e-5  # a step over the corner of a relu


def test_without_others_nothing_is_modulated():
    fusion = shaken(FiLM(["i0", "i1"], WIDTH))
    tokens = draw([3, 2], torch.tensor([[True, False]] * 3))
    before = alone(fusion, tokens)
    with torch.no_grad():
        for layer in fusion.layers:
            layer.modulate.weight.zero_()
    assert torch.equal(alone(fusion, tokens), before)


def test_others_still_speak_where_the_modulated_input_is_absent():
    fusion = shaken(FiLM(["i0", "i1"], WIDTH))
    tokens = draw([3, 2], torch.tensor([[False, True]] * 3))
    x_BD = alone(fusion, tokens)
    assert (x_BD[0] - x_BD[1]).abs().max() > 1e-3
    assert fusion(tokens).tokens.mask_BT.all()


def test_the_modulated_input_is_chosen_by_name():
    assert FiLM(["text", "image"], WIDTH).query == "text"
    fusion = FiLM(["text", "image"], WIDTH, query="image")
    assert fusion.query == "image"
    tokens = dict(zip(("text", "image"), draw([3, 2], torch.ones(2, 2, dtype=torch.bool)).values(), strict=True))
    after = fusion.double().eval()(tokens).by_input
    assert torch.equal(after["text"].x_BTD, tokens["text"].x_BTD)
    assert not torch.equal(after["image"].x_BTD, tokens["image"].x_BTD)


def test_an_unknown_query_is_an_error_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'image'"):
        FiLM(["text", "image"], WIDTH, query="imgae")
    with pytest.raises(ValueError, match="depth"):
        FiLM(["text", "image"], WIDTH, depth=0)
