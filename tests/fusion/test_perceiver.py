"""The perceiver against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fusion import reference as r


def perceiver(w, row, heads):
    """Latents read all tokens, then each other, layer by layer."""
    tokens = np.concatenate([x + w["modality"][m] for m, x in enumerate(row.values())])
    latents = w["latents"]
    for layer in range(2):
        latents = r.cross_block(w, f"read.{layer}", latents, tokens, heads)
        latents = r.block(w, f"think.{layer}", latents, heads)
    return {"": r.norm(w, "norm", latents), **row}


@pytest.mark.parametrize("count", [1, 3])
def test_equals_the_formula_with_unequal_lengths_and_missing_inputs(count):
    fusion = r.made("perceiver", count, latents=3)
    assert r.forward_error(fusion, perceiver, r.drawn(count), summaries=3) < 1e-11
    assert r.gradient_error(fusion, perceiver, r.drawn(count), summaries=3) < 1e-8


def test_the_result_is_as_long_as_there_are_latents():
    fused = r.made("perceiver", 3, latents=5)(r.drawn(3))
    assert fused.tokens.x_BTD.shape[1:] == (5, r.WIDTH)
    assert fused.tokens.mask_BT.all()


def test_no_latent_is_refused():
    with pytest.raises(ValueError, match="latents: expected at least 1"):
        r.made("perceiver", 2, latents=0)
