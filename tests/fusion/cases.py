"""Hypothesis strategies for fusions: inputs of any number and length, and any of them missing."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from tests.fusion.parity import draw


def inputs(least: int = 1, most: int = 4):
    """Tokens of ``least`` to ``most`` inputs, with every pattern of absence possible."""

    def made(lengths):
        rows = st.lists(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)), min_size=1, max_size=4)
        return st.builds(lambda present, seed: draw(lengths, torch.tensor(present), seed), rows, st.integers(0, 10**6))

    return st.lists(st.integers(1, 4), min_size=least, max_size=most).flatmap(made)
