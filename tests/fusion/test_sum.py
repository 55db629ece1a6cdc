"""The aligned sum: W_i x_i added up."""

from __future__ import annotations

from hypothesis import given, settings

from polyfuse.fusion.sum import Sum
from tests.fusion.cases import inputs
from tests.fusion.parity import WIDTH, errors, pooled, shaken


def aligned(a, masks):
    """sum_m W_m mean(x_m), absent inputs adding nothing."""
    return sum(pooled(a[f"i{m}"], mask) @ a[f"align.{m}.weight"].T for m, mask in enumerate(masks))


@settings(max_examples=15, deadline=None)
@given(tokens=inputs())
def test_without_a_trunk_it_is_the_sum_of_aligned_inputs(tokens):
    value, gradient = errors(shaken(Sum(list(tokens), WIDTH, depth=0)), aligned, tokens)
    assert value < 1e-12
    assert gradient < 1e-8
