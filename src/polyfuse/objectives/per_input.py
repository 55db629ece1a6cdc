"""What the objectives on judgements of single inputs share: their scores, who is present, and mean losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from torch import Tensor

from polyfuse.records import Batch, State

Alone: TypeAlias = dict[str, dict[str, tuple[Tensor, Tensor]]]
"""Output -> input -> scores (B, C) of that input alone, and where it is present (B,)."""


def single_input_scores(state: State) -> Alone:
    """The judgements of single inputs in a state; outputs whose head has no scores are left out."""
    return {
        output: {name: (scores_BC, state.encoded[name].present_B) for name, scores_BC in by_input.items()}
        for output, by_input in state.by_input_scores.items()
    }


def mean_over_rows(values_B: Tensor, rows_B: Tensor, batch: Batch) -> Tensor:
    """Mean of weighted values over those of some rows that have a weight; 0 when there are none."""
    weight_B = batch.weights_B * rows_B
    return (values_B * weight_B).sum() / (weight_B > 0).sum().clamp_min(1)


def single_input_losses(judged: Alone, batch: Batch, heads: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
    """Output -> input -> mean loss over the rows that have both the input and the target."""
    return {
        output: {
            name: mean_over_rows(
                heads[output].loss_of(scores_BC, batch), present_B & batch.outputs[output].present_B, batch
            )
            for name, (scores_BC, present_B) in by_input.items()
        }
        for output, by_input in judged.items()
    }
