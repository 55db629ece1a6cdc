"""Fused and single-input predictions teach each other. Zhang et al., Deep mutual learning, CVPR 2018."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.objectives.per_input import Alone, mean_over_rows, single_input_scores
from polyfuse.records import Batch, State


class MutualDistillation(nn.Module):
    """Each input alone learns what the fused model believes, and the fused model what its inputs believe on average.

    Helps where inputs are often missing: what all inputs know together is taught to each of them. Needs no targets, so
    rows without one count too. The heads of single inputs learn from nothing else unless ``unimodal`` is set as well.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.
        temperature: softens both sides; 1 leaves probabilities as they are.
        back: weight of what the fused model learns from its inputs.

    See also: ``impute``, which reconstructs what is missing instead.
    """

    paper = "Zhang et al., Deep mutual learning, CVPR 2018"
    wants_scores = True

    def __init__(self, inputs: Sequence[str], width: int, *, temperature: float = 2.0, back: float = 0.5):
        super().__init__()
        del inputs, width  # the model owns the heads
        if temperature <= 0 or back < 0:
            raise ValueError(f"expected temperature > 0 and back >= 0, found {temperature} and {back}")
        self.temperature, self.back = temperature, back

    def represent(self, state: State) -> tuple[Alone, dict[str, Tensor]]:
        """Scores of each input alone, and of all together."""
        return single_input_scores(state), state.scores

    def loss(self, judged: tuple[Alone, dict[str, Tensor]], batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar: the sum over outputs and inputs."""
        total = batch.weights_B.new_zeros(())
        for output, by_input in judged[0].items():
            for scores_BC, present_B in by_input.values():
                total = total + self._pair(heads[output], scores_BC, judged[1][output], present_B, batch)
        return total

    def _pair(self, head: Any, one_BC: Tensor, all_BC: Tensor, present_B: Tensor, batch: Batch) -> Tensor:
        learns_B = head.divergence(one_BC, all_BC.detach(), self.temperature)
        teaches_B = head.divergence(all_BC, one_BC.detach(), self.temperature)
        return mean_over_rows(torch.add(learns_B, teaches_B, alpha=self.back), present_B, batch)
