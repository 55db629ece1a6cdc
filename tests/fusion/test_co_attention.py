"""Co-attention against its formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fusion import reference as r


def co_attention(w, row, heads):
    """Every stream reads all the others as they were before the block, then itself."""
    streams = {name: x + w["modality"][m] for m, (name, x) in enumerate(row.items())}
    for layer in range(2):
        before = dict(streams)
        for m, name in enumerate(row):
            others = [x for other, x in before.items() if other != name]
            if others:
                cross = f"layers.{layer}.cross.{m}"
                streams[name] = r.cross_block(w, cross, before[name], np.concatenate(others), heads)
            streams[name] = r.block(w, f"layers.{layer}.own.{m}", streams[name], heads)
    return r.joined(w, "joined", streams)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_equals_the_formula_with_unequal_lengths_and_missing_inputs(count):
    fusion = r.made("co_attention", count, depth=2)
    assert r.forward_error(fusion, co_attention, r.drawn(count)) < 1e-11
    assert r.gradient_error(fusion, co_attention, r.drawn(count)) < 1e-8
