"""Modality experts against their formula in NumPy; experts are distinct and read their own tokens only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.fusion import reference as r


def experts(w, row, heads):
    """Shared attention over all tokens, then each input's own feed-forward layer."""
    streams = {name: x + w["modality"][m] for m, (name, x) in enumerate(row.items())}
    for layer in range(2):
        at, everything = f"blocks.{layer}", np.concatenate(list(streams.values()))
        normed = r.norm(w, f"{at}.norm_attention", everything)
        mixed = r.attention(w, f"{at}.attention", normed, normed, heads)
        ends = np.cumsum([len(x) for x in streams.values()])[:-1]
        for m, (name, change) in enumerate(zip(row, np.split(mixed, ends), strict=True)):
            x, expert = streams[name] + change, f"{at}.experts.{m}"
            streams[name] = x + r.forward_layer(w, f"{expert}.1", r.norm(w, f"{expert}.0", x))
    return r.joined(w, "joined", streams)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_equals_the_formula_with_unequal_lengths_and_missing_inputs(count):
    fusion = r.made("experts", count)
    assert r.forward_error(fusion, experts, r.drawn(count)) < 1e-11
    assert r.gradient_error(fusion, experts, r.drawn(count)) < 1e-8


def test_every_input_has_an_expert_of_its_own():
    fusion, tokens = r.made("experts", 2, depth=1), r.drawn(2)
    before = fusion(tokens).by_input
    with torch.no_grad():
        for parameter in fusion.blocks[0].experts[0].parameters():
            parameter += 1
    after = fusion(tokens).by_input
    assert torch.equal(after["i1"].x_BTD, before["i1"].x_BTD)
    assert not torch.allclose(after["i0"].x_BTD, before["i0"].x_BTD)
