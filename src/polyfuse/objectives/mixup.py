"""Blends of two rows must answer with the blend of their targets. Zhang et al., ICLR 2018; Verma et al., ICML 2019."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.contracts import Scores, offers
from polyfuse.layers.pooling import masked_mean
from polyfuse.records import Batch, Cells, Fused, State, Tokens


class Mixup(nn.Module):
    """Fused representations of two rows are blended, and judged by the same blend of their losses.

    h = b h_i + (1 - b) h_j with b from Beta(alpha, alpha); L = b l(M(h), y_i) + (1 - b) l(M(h), y_j), mean over pairs
    of rows of a batch that both have the target. Blending after the fusion works for words and columns as well as for
    pixels and sounds. Meant for few rows; nothing is blended outside of training.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.
        alpha: how even the blends are: near 0 rows hardly blend, at 1 every share is as likely.

    See also: ``augment`` of an input, which changes one row at a time.
    """

    paper = "Zhang et al., mixup, ICLR 2018; Verma et al., Manifold mixup, ICML 2019"
    wants_fusion = True

    def __init__(self, inputs: Sequence[str], width: int, *, alpha: float = 0.4):
        super().__init__()
        del inputs, width  # whatever the fusion made of them
        if not alpha > 0:
            raise ValueError(f"alpha={alpha!r}: expected a number above 0")
        self.alpha = alpha

    def represent(self, state: State) -> Tensor | None:
        """One fused vector per row (B, D) as the heads would pool it, or None outside of training."""
        if not self.training or state.fused is None:
            return None
        tokens = state.fused.tokens
        first = tokens.prefix or tokens.mask_BT.shape[1]
        return masked_mean(tokens.x_BTD[:, :first], tokens.mask_BT[:, :first])

    def loss(self, judged: Tensor | None, batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar: the sum over outputs."""
        total = batch.weights_B.new_zeros(())
        if judged is None:
            return total
        share = torch.distributions.Beta(self.alpha, self.alpha).sample()
        other_B = torch.randperm(len(judged), device=judged.device)
        mixed_BD = share * judged + (1 - share) * judged[other_B]
        mixed = Fused(Tokens(mixed_BD[:, None], mixed_BD.new_ones(len(judged), 1, dtype=torch.bool)), {})
        weight_B, of_others_B = batch.weights_B, batch.weights_B[other_B]
        others = replace(
            batch, outputs={name: _shuffle_targets(cells, other_B) for name, cells in batch.outputs.items()}
        )
        for name, head in heads.items():
            if not offers(head, Scores):
                continue
            scores_BC = head.scores(mixed, batch)
            own_B, other = head.loss_of(scores_BC, batch), head.loss_of(scores_BC, others)
            loss_B = share * weight_B * own_B + (1 - share) * of_others_B * other
            known_B = batch.outputs[name].present_B & others.outputs[name].present_B & (weight_B + of_others_B > 0)
            total = total + (loss_B * known_B).sum() / known_B.sum().clamp_min(1)
        return total


def _shuffle_targets(cells: Cells, other_B: Tensor) -> Cells:
    """The targets of the rows that each row is blended with."""
    return replace(cells, index_BK=cells.index_BK[other_B])
