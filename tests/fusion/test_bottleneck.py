"""MBT against its formula in NumPy; inputs meet in the bottleneck tokens and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyfuse.records import Tokens
from tests.fusion import reference as r


def mbt(depth, start):
    """[x_m; b] through the block of each input, b <- mean over the inputs that are there."""

    def rows(w, row, heads):
        b, streams = w["bottleneck"], dict(row)
        for layer in range(depth):
            made = []
            for m, (name, x) in enumerate(streams.items()):
                with_b = np.concatenate([x, b]) if layer >= start else x
                after = r.block(w, f"layers.{layer}.{m}", with_b, heads)
                streams[name] = after[: len(x)]
                made += [after[len(x) :]] if len(x) or not any(map(len, row.values())) else []
            b = np.mean(made, 0) if layer >= start else b
        return {"": r.norm(w, "norm", b)} | {name: r.norm(w, "norm", x) for name, x in streams.items()}

    return rows


@pytest.mark.parametrize(("count", "depth", "start"), [(1, 2, 0), (2, 2, 0), (3, 3, 1)])
def test_equals_the_formula_with_unequal_lengths_and_missing_inputs(count, depth, start):
    fusion = r.made("bottleneck", count, bottlenecks=2, depth=depth, start=start)
    assert r.forward_error(fusion, mbt(depth, start), r.drawn(count), summaries=2) < 1e-11
    assert r.gradient_error(fusion, mbt(depth, start), r.drawn(count), summaries=2) < 1e-8


def moved(fusion, tokens):
    """By how much the second input and the bottleneck change when a token of the first input does."""
    other = {**tokens, "i0": Tokens(tokens["i0"].x_BTD.clone(), tokens["i0"].mask_BT)}
    other["i0"].x_BTD[:, 0] += torch.arange(8)  # a shift of all channels alike would be normalised away
    one, two = fusion(tokens), fusion(other)
    difference = (one.tokens.x_BTD - two.tokens.x_BTD).abs()[:, : one.tokens.prefix].max()
    return (one.by_input["i1"].x_BTD - two.by_input["i1"].x_BTD).abs().max().item(), difference.item()


def test_inputs_hear_of_each_other_through_the_bottleneck_one_layer_later():
    tokens = {f"i{m}": Tokens(torch.randn(2, 3, 8).double(), torch.ones(2, 3, dtype=torch.bool)) for m in range(2)}
    across, bottleneck = moved(r.made("bottleneck", 2, depth=1), tokens)
    assert across == 0
    assert bottleneck > 1e-3
    across, _ = moved(r.made("bottleneck", 2, depth=2), tokens)
    assert across > 1e-6
    across, _ = moved(r.made("bottleneck", 2, depth=2, start=1), tokens)
    assert across == 0


def test_an_absent_input_takes_no_part_in_the_average():
    tokens = {f"i{m}": Tokens(torch.randn(2, 3, 8).double(), torch.ones(2, 3, dtype=torch.bool)) for m in range(2)}
    tokens["i1"] = Tokens(tokens["i1"].x_BTD, torch.zeros(2, 3, dtype=torch.bool))
    two = r.made("bottleneck", 2)
    one = r.made("bottleneck", 1)
    kept = {n: p for n, p in two.state_dict().items() if n in one.state_dict()}
    one.load_state_dict(kept)
    prefix = two.bottleneck.shape[0]
    alone = one({"i0": tokens["i0"]}).tokens.x_BTD[:, :prefix]
    torch.testing.assert_close(two(tokens).tokens.x_BTD[:, :prefix], alone)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"bottlenecks": 0}, "bottlenecks: expected at least 1"),
        ({"start": 2}, r"start: expected 0 to 1 \(less than depth 2\), found 2"),
    ],
)
def test_a_bottleneck_that_nothing_would_read_is_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        r.made("bottleneck", 2, **keywords)
