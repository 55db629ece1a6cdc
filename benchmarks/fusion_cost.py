"""Forward and backward of one fusion at 5 inputs x 256 tokens x width 256, batch 8: seconds, memory, parameters.

Prints one JSON object; a process of its own, so that peak memory is this fusion's.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time

import torch

from polyfuse import registry
from polyfuse.records import Fused, Tokens

INPUTS, TOKENS, WIDTH, ROWS, REPEATS = 5, 256, 256, 8, 3


def tokens() -> Tokens:
    x_BTD = torch.randn(ROWS, TOKENS, WIDTH, requires_grad=True)
    return Tokens(x_BTD, torch.ones(ROWS, TOKENS, dtype=torch.bool))


def seconds(fusion, inputs) -> float:
    for given in (*fusion.parameters(), *(t.x_BTD for t in inputs.values())):
        given.grad = None
    started = time.perf_counter()
    fused: Fused = fusion(inputs)
    loss = fused.tokens.x_BTD.pow(2).mean() + sum(t.x_BTD.mean() for t in fused.by_input.values())
    loss.backward()
    return time.perf_counter() - started


def peak() -> float:
    """Of this process, in GB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main(name: str) -> dict:
    torch.manual_seed(0)
    before = peak()
    try:
        fusion = registry.fusion(name)([f"i{m}" for m in range(INPUTS)], WIDTH).train()
    except ValueError as error:
        return {"refused": str(error)}
    inputs = {f"i{m}": tokens() for m in range(INPUTS)}
    found = statistics.median(seconds(fusion, inputs) for _ in range(REPEATS))
    return {"seconds": found, "gb": peak() - before, "parameters": sum(p.numel() for p in fusion.parameters())}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
