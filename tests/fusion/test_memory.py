"""Every fusion at its defaults trains five inputs of 256 tokens and width 256, batch 8, within 2.5 GB."""

from __future__ import annotations

import subprocess
import sys

import pytest

from polyfuse import registry

LIMIT_GB = 2.5
STEP = """
import resource, sys, torch
from polyfuse import registry
from polyfuse.records import Tokens

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
names = [f"i{m}" for m in range(5)]
torch.nn.Linear(8, 8)(torch.randn(2, 8)).sum().backward()
before = peak()
fusion = registry.fusion(sys.argv[1])(names, 256)
mask = torch.ones(8, 256, dtype=torch.bool)
fused = fusion({name: Tokens(torch.randn(8, 256, 256, requires_grad=True), mask) for name in names})
sum(t.x_BTD.square().mean() for t in (fused.tokens, *fused.by_input.values())).backward()
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")
@pytest.mark.parametrize("name", registry.FUSIONS)
def test_a_step_fits(name):
    run = subprocess.run([sys.executable, "-c", STEP, name], capture_output=True, text=True, check=True)
    assert float(run.stdout) < LIMIT_GB
