"""Hierarchical fusion: every level reads the inputs again."""

from __future__ import annotations

import pytest
import torch

from polyfuse.fusion.hierarchical import Hierarchical
from tests.fusion.parity import WIDTH, alone, draw, shaken


@pytest.mark.parametrize("level", [0, 1, 2])
def test_each_level_reads_every_input_itself(level):
    """With all other ways for an input closed, its value still reaches the result through any one level."""
    fusion = shaken(Hierarchical(["i0", "i1"], WIDTH, depth=3))
    with torch.no_grad():
        fusion.first.weight.zero_()
        for at, other in enumerate(fusion.levels):
            if at != level:
                other.hidden.weight[:, WIDTH:].zero_()
    tokens = draw([3, 2], torch.ones(2, 2, dtype=torch.bool))
    for name in tokens:
        x_BTD = tokens[name].x_BTD.requires_grad_()
        (gradient,) = torch.autograd.grad(alone(fusion, tokens).sum(), x_BTD)
        assert gradient.any()


def test_it_needs_a_level():
    with pytest.raises(ValueError, match="at least 1"):
        Hierarchical(["a"], WIDTH, depth=0)
