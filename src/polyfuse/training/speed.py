"""A time budget becomes a number of steps: speed is measured once, so that resume and refit repeat the same run."""

from __future__ import annotations

import copy
import time
from itertools import islice

import torch
from torch.utils.data import DataLoader

from polyfuse.model import Network
from polyfuse.recipe import Recipe
from polyfuse.training.schedule import parameter_groups

PROBE = 12  # steps measured
VALIDATION_SHARE = 0.15  # of the budget, for validation and saving


def affordable_steps(
    network: Network, recipe: Recipe, batches: DataLoader, planned: int, validates: bool, deadline: float
) -> int:
    """Steps that fit before ``deadline`` (``time.monotonic()``), at most the planned ones and at least one.

    The probe trains a copy of the network; the network itself and its random draws stay as they were.
    """
    seconds = step_seconds(copy.deepcopy(network), recipe, batches)
    reserve = VALIDATION_SHARE if validates else 0.05
    left = max(0.0, deadline - time.monotonic()) * (1 - reserve)
    return max(1, min(planned, int(left / seconds)))


def step_seconds(network: Network, recipe: Recipe, batches: DataLoader, steps: int = PROBE) -> float:
    """Mean seconds of a training step. The network is trained on the way; random draws stay as they were."""
    optimizer = torch.optim.AdamW(parameter_groups(network, recipe), fused=True)
    network.train()
    times = []
    with torch.random.fork_rng():
        started = time.monotonic()
        for batch in islice(batches, steps):
            loss = torch.stack(list(network.losses(network(batch), batch).values())).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            times.append(time.monotonic() - started)
            started = time.monotonic()
    steady = sorted(times[1:] or times)  # the first one warms up
    return max(1e-4, sum(steady) / len(steady))
