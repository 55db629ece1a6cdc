"""Losses of single inputs and of their fusion, weighted by how much each generalises and how little it overfits.

Wang et al., What makes training multi-modal classification networks hard?, CVPR 2020 (the online form).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.objectives.per_input import Alone, mean_over_rows, single_input_losses, single_input_scores
from polyfuse.records import Batch, State


class GradientBlending(nn.Module):
    """Weights w_k proportional to G_k / O_k^2 for every input alone and for the fused answer, measured while training.

    Between two looks at validation, G is how much the validation loss fell and O how much the gap between validation
    and training loss grew. All weights are equal until two looks have been taken. Needs validation rows.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.
        every: looks at validation between two measurements.

    See also: ``unimodal``, fixed weights, where there are few validation rows.
    """

    paper = "Wang et al., What makes training multi-modal classification networks hard?, CVPR 2020"
    wants_scores = True
    sums_losses = True  # with the plain loss of the outputs: no weight but 1 would add up

    def __init__(self, inputs: Sequence[str], width: int, *, every: int = 2):
        super().__init__()
        del width  # the model owns the heads
        self.inputs, self.every = tuple(inputs), every
        streams = len(self.inputs) + 1  # the last one is the fused answer
        self.weight_K: Tensor
        self.before_2K: Tensor
        self.looks: Tensor
        self.register_buffer("weight_K", torch.full((streams,), 1 / streams))
        self.register_buffer("before_2K", torch.full((2, streams), float("nan")))  # training and validation loss
        self.register_buffer("looks", torch.zeros((), dtype=torch.long))
        # sums of the losses since the last measurement and how many, in training and validation; a checkpoint has them
        self.seen_2K: Tensor
        self.count_2: Tensor
        self.register_buffer("seen_2K", torch.zeros(2, streams))
        self.register_buffer("count_2", torch.zeros(2))

    def represent(self, state: State) -> tuple[Alone, dict[str, Tensor]]:
        """Scores of each input alone, and of all together."""
        return single_input_scores(state), state.scores

    def loss(self, judged: tuple[Alone, dict[str, Tensor]], batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar; with the plain loss of the outputs it adds up to the sum of w_k L_k times the number of streams."""
        by_output = single_input_losses(judged[0], batch, heads)
        if not by_output:
            return batch.weights_B.new_zeros(())
        alone_K = [torch.stack([found[name] for found in by_output.values()]).sum() for name in self.inputs]
        fused = torch.stack([self._fused(o, judged[1][o], batch, heads) for o in by_output]).sum()
        loss_K = torch.stack([*alone_K, fused])
        side = 0 if self.training else 1
        self.seen_2K[side] += loss_K.detach()
        self.count_2[side] += 1
        weight_K = self.weight_K * len(self.weight_K)
        return (weight_K * loss_K).sum() - fused  # the outputs' own loss has counted the fused one already

    @staticmethod
    def _fused(output: str, scores_BC: Tensor, batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        return mean_over_rows(heads[output].loss_of(scores_BC, batch), batch.outputs[output].present_B, batch)

    def after_validation(self) -> None:
        """Measure, once every few looks at validation."""
        self.looks += 1
        if not bool(self.count_2.all()) or int(self.looks) % self.every:
            return
        now_2K = self.seen_2K / self.count_2[:, None]
        if torch.isfinite(self.before_2K).all():
            self.weight_K.copy_(blending_weights(self.before_2K, now_2K))
        self.before_2K.copy_(now_2K)
        self.seen_2K.zero_()
        self.count_2.zero_()


def blending_weights(before_2K: Tensor, now_2K: Tensor) -> Tensor:
    """G / O^2, brought to sum 1; rows are training and validation loss. Streams that generalise no more get nothing.

    When no stream generalises any more, all are equal.
    """
    gain_K = (before_2K[1] - now_2K[1]).clamp_min(0)
    over_K = ((now_2K[1] - now_2K[0]) - (before_2K[1] - before_2K[0])).abs().clamp_min(1e-2)
    weight_K = gain_K / over_K.square()
    total = weight_K.sum()
    return weight_K / total if total > 0 else torch.full_like(weight_K, 1 / len(weight_K))
