"""Every fusion but late ones learns what no input says alone: the parity of one bit per input."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polyfuse import registry
from polyfuse.layers.readout import Readout
from polyfuse.records import Tokens

WIDTH = 32


def batch(rows, ways_MD):
    bits_BM = torch.randint(0, 2, (rows, len(ways_MD))) * 2 - 1
    mask_BT = torch.ones(rows, 3, dtype=torch.bool)
    tokens = {
        f"i{m}": Tokens(bits_BM[:, m, None, None] * way_D + 0.5 * torch.randn(rows, 3, WIDTH), mask_BT)
        for m, way_D in enumerate(ways_MD)
    }
    return tokens, (bits_BM.prod(1) > 0).long()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in registry.FUSIONS if name not in ("late", "decision")])
def test_parity_of_two_inputs_is_learned(name):
    torch.manual_seed(0)
    model = nn.ModuleList([registry.fusion(name)(["i0", "i1"], WIDTH), Readout(WIDTH, 2)])
    ways_MD = nn.functional.normalize(torch.randn(2, WIDTH), dim=1) * WIDTH**0.5
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(400):
        tokens, labels_B = batch(64, ways_MD)
        loss = nn.functional.cross_entropy(model[1](model[0](tokens).tokens), labels_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tokens, labels_B = batch(1000, ways_MD)
    right_B = model.eval()[1](model[0](tokens).tokens).argmax(1) == labels_B
    assert right_B.float().mean() > 0.98
