"""The reward stage at the end of training, for heads that learn from scores of their own outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from polyfuse.contracts import Rewarded, offers
from polyfuse.data.batches import Rows
from polyfuse.model.network import Network
from polyfuse.recipe import Recipe, RecipeError


def rewarded_heads(network: Network) -> dict[str, Any]:
    """Output -> its head, of those that have such a stage."""
    heads = {name: network.head(name) for name in network.outputs}
    return {name: head for name, head in heads.items() if offers(head, Rewarded) and head.rewarded_from < 1}


def stage_starts(network: Network) -> list[float]:
    """Shares of the schedule at which its stages begin, 0 first."""
    return sorted({0.0, *(head.rewarded_from for head in rewarded_heads(network).values())})


def set_progress(network: Network, progress: float) -> None:
    """Tell the heads how much of the schedule is over, from 0 to 1."""
    for head in rewarded_heads(network).values():
        head.at(progress)


def give_targets(network: Network, recipe: Recipe, rows: Rows, train: np.ndarray, val: np.ndarray) -> None:
    """Give heads that are to learn by the worth of their answers the targets of the rows that train and validate.

    Raises:
        RecipeError: the best weights are to be chosen by the loss, which rises in that stage.
    """
    settings = recipe.training
    for name, head in rewarded_heads(network).items():
        if settings.select == "best" and settings.judge == "loss":
            raise RecipeError(
                f"training.judge: loss would choose weights from before output {name!r} learns by the worth of its "
                "answers; set judge: quality, or select: last"
            )
        prepared, numbers = rows.outputs[name], np.concatenate([train, val])
        transform: Any = prepared.transform  # of a target, which has a way back
        known = numbers[prepared.index_RK[numbers, 0] >= 0]
        told = transform.decode([prepared.cells[at] for at in prepared.index_RK[known, 0]])
        head.rewarded_by(dict(zip(known.tolist(), told, strict=True)), train.tolist())


def note_reward_stages(network: Network, total: int) -> list[str]:
    """A note per output that has such a stage."""
    return [
        f"output {name!r} learnt from its references for {round(head.rewarded_from * total):,} steps, and for "
        f"{total - round(head.rewarded_from * total):,} more by the worth of what it said itself"
        for name, head in rewarded_heads(network).items()
    ]


def forget_targets(network: Network) -> None:
    """Drop the targets again; they are needed in training only."""
    for head in rewarded_heads(network).values():
        head.rewarded_by({}, [])
