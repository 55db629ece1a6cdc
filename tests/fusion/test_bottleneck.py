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
                made += [after[len(x) :]] if len(x) else []
            b = np.mean(made, 0) if layer >= start and made else b
        return r.joined(w, "joined", streams)

    return rows


@pytest.mark.parametrize(("count", "depth", "start"), [(1, 2, 0), (2, 2, 0), (3, 3, 1)])
def test_equals_the_formula_with_unequal_lengths_and_missing_inputs(count, depth, start):
    fusion = r.made("bottleneck", count, bottlenecks=2, depth=depth, start=start)
    assert r.forward_error(fusion, mbt(depth, start), r.drawn(count)) < 1e-11
    assert r.gradient_error(fusion, mbt(depth, start), r.drawn(count)) < 1e-8


def both():
    """Two inputs of three tokens each, all present."""
    return {f"i{m}": Tokens(torch.randn(2, 3, 8).double(), torch.ones(2, 3, dtype=torch.bool)) for m in range(2)}


@pytest.mark.parametrize(("depth", "start", "hears"), [(1, 0, False), (2, 0, True), (2, 1, False), (3, 1, True)])
def test_inputs_hear_of_each_other_through_the_bottleneck_one_layer_later(depth, start, hears):
    fusion, tokens = r.made("bottleneck", 2, depth=depth, start=start), both()
    before = fusion(tokens).by_input
    # a shift of all channels alike would be normalised away
    tokens["i0"].x_BTD[:, 0] += torch.arange(8)
    after = fusion(tokens).by_input
    assert (after["i0"].x_BTD - before["i0"].x_BTD).abs().max() > 1e-3
    assert ((after["i1"].x_BTD - before["i1"].x_BTD).abs().max() > 1e-6) == hears
    assert torch.equal(after["i1"].x_BTD, before["i1"].x_BTD) != hears


def test_an_absent_input_takes_no_part_in_the_average():
    tokens = both()
    tokens["i1"] = Tokens(tokens["i1"].x_BTD, torch.zeros(2, 3, dtype=torch.bool))
    two, one = r.made("bottleneck", 2), r.made("bottleneck", 1)
    own = {n: p for n, p in two.state_dict().items() if n in one.state_dict() and n != "joined.join.weight"}
    one.load_state_dict(own, strict=False)
    alone = one({"i0": tokens["i0"]}).by_input["i0"].x_BTD
    torch.testing.assert_close(two(tokens).by_input["i0"].x_BTD, alone)


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
