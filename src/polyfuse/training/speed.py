"""A time budget becomes a number of steps: speed is measured once, so that resume and refit repeat the same run."""

from __future__ import annotations

import copy
import time
from itertools import islice, pairwise

import torch
from torch.utils.data import DataLoader

from polyfuse.model.network import Network
from polyfuse.recipe import Recipe
from polyfuse.system.device import device_of, generators
from polyfuse.training.chunks import step_losses
from polyfuse.training.reward import set_progress, stage_starts
from polyfuse.training.schedule import parameter_groups

PROBE = 12  # steps measured
PROBE_SHARE = 0.1  # of the time that is left, after which no further step is measured
LEAST_PROBE = 2  # steps measured at least; the first one warms up
VALIDATION_SHARE = 0.15  # of the budget, for validation and saving


def affordable_steps(
    network: Network, recipe: Recipe, batches: DataLoader, planned: int, validates: bool, deadline: float
) -> int:
    """Steps that fit before ``deadline`` (``time.monotonic()``), at most the planned ones and at least one.

    The probe trains a copy of the network; the network itself and its random draws stay as they were.
    """
    seconds = step_seconds(copy.deepcopy(network), recipe, batches, until=probe_deadline(deadline))
    reserve = VALIDATION_SHARE if validates else 0.1
    left = max(0.0, deadline - time.monotonic()) * (1 - reserve)
    return max(1, min(planned, int(left / seconds)))


def probe_deadline(deadline: float | None) -> float | None:
    """When a probe has to end that has some time until a deadline."""
    return None if deadline is None else time.monotonic() + PROBE_SHARE * max(0.0, deadline - time.monotonic())


def step_seconds(
    network: Network, recipe: Recipe, batches: DataLoader, steps: int = PROBE, until: float | None = None
) -> float:
    """Mean seconds of a training step over the whole schedule, where the network lies.

    The network is trained on the way; random draws stay as they were.

    Args:
        steps: measured of every stage.
        until: ``time.monotonic()`` after which fewer steps must do.
    """
    starts, now, total = stage_starts(network), time.monotonic(), 0.0
    for n, (start, end) in enumerate(pairwise([*starts, 1.0])):
        set_progress(network, start)
        left = None if until is None else now + (until - now) * (n + 1) / len(starts)
        total += (end - start) * _stage_seconds(network, recipe, batches, steps, left)
    return max(1e-4, total)


def _stage_seconds(network: Network, recipe: Recipe, batches: DataLoader, steps: int, until: float | None) -> float:
    """Mean seconds of a step of the stage that the network is in."""
    device = device_of(network)
    optimizer = torch.optim.AdamW(parameter_groups(network, recipe), fused=True)
    network.train()
    times = []
    with torch.random.fork_rng(devices=generators(device)):
        started = time.monotonic()
        for batch in (batch.to(device) for batch in islice(batches, steps)):
            losses, pending = step_losses(network, batch, recipe.training.chunk)
            loss = torch.stack(list(losses.values())).sum()
            optimizer.zero_grad()
            loss.backward()
            if pending is not None:
                pending.backward()
            optimizer.step()
            loss.item()  # an accelerator answers later
            times.append(time.monotonic() - started)
            started = time.monotonic()
            if until is not None and started > until and len(times) >= LEAST_PROBE:
                break
    steady = sorted(times[1:] or times)  # the first one warms up
    return sum(steady) / len(steady)
