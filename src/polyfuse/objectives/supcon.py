"""Contrastive alignment in which a class makes positives. Khosla et al., NeurIPS 2020."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.layers.inputs import named_inputs
from polyfuse.layers.shared_space import normalize
from polyfuse.objectives.pairs import Vectors, collapse_vectors, input_vectors, same_rows, weighted_mean_loss
from polyfuse.records import Batch, State


class SupCon(nn.Module):
    """Vectors of rows of one class lie together, whichever input they come from, and apart from those of other classes.

    Over all vectors a of the batch, rows and inputs alike: L = mean_a -1/|P(a)| sum_{p in P(a)} log softmax over all
    others but a of <z_a, z_p> / t, P(a) the other vectors of a's class. One input alone works as well.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.
        between: inputs to take part; all by default.
        key: column that makes a class; without one, rows that share a cell are one.
        temperature: fixed.
    """

    paper = "Khosla et al., Supervised contrastive learning, NeurIPS 2020"
    aligning = True

    def __init__(
        self,
        inputs: Sequence[str],
        width: int,
        *,
        between: Sequence[str] | None = None,
        key: str | None = None,
        temperature: float = 0.1,
    ):
        super().__init__()
        del width
        if not temperature > 0:
            raise ValueError(f"temperature={temperature!r}: expected a number above 0")
        self.aligns, self.key, self.temperature = named_inputs(inputs, between, "between"), key, temperature

    def represent(self, state: State) -> Vectors:
        """The inputs' vectors in the shared space."""
        return input_vectors(state, self.aligns)

    def loss(self, judged: Vectors, batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar: the mean over vectors that have another one of their class."""
        del heads
        z_VE = torch.cat([normalize(z_BE) for z_BE, _ in judged.values()])
        there_V = torch.cat([present_B for _, present_B in judged.values()])
        same_VV = same_rows(batch, self.aligns, self.key).repeat(len(judged), len(judged))
        weight_V = batch.weights_B.repeat(len(judged))
        at_V = (there_V & (weight_V > 0)).nonzero()[:, 0]
        z_VE, same_VV, weight_V = z_VE[at_V], same_VV[at_V][:, at_V], weight_V[at_V]
        self_VV = torch.eye(len(z_VE), dtype=torch.bool, device=z_VE.device)
        logits_VV = (z_VE @ z_VE.T / self.temperature).masked_fill(self_VV, -1e9)
        positive_VV = same_VV & ~self_VV
        log_VV = logits_VV.log_softmax(1)
        count_V = positive_VV.sum(1)
        loss_V = -(log_VV * positive_VV).sum(1) / count_V.clamp_min(1)
        return weighted_mean_loss(loss_V, weight_V * (count_V > 0))

    def chance(self, judged: Vectors, batch: Batch) -> Tensor:
        """The loss of a space that tells nothing apart: the logarithm of the number of other vectors."""
        return self.loss(collapse_vectors(judged), batch, {})
