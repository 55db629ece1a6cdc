"""Contrastive alignment by softmax over the batch, InfoNCE. van den Oord et al., 2018; Radford et al., ICML 2021."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.layers.shared_space import normalize
from polyfuse.objectives.pairs import Pair, PairwiseAlignment, Vectors, collapse_vectors, weighted_mean_loss
from polyfuse.records import Batch


class Clip(PairwiseAlignment):
    """Each input of a row must find the other inputs of its row among those of the whole batch, and be found by them.

    L = mean over both directions of -log softmax_j(<u_i, v_j> / t) at j = i, with unit vectors and a learned
    temperature t. Rows that share a cell or the key are left out of each other's denominators.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.
        between: inputs to align; all by default.
        around: the input that the others are aligned with, instead of all with each other.
        key: column whose equal values make rows the same thing.
        temperature: at the beginning.
        floor: the least it may become; lower ones make single rows decide.

    See also: ``siglip``, which compares pair by pair and needs no large batch.
    """

    paper = "Radford et al., Learning transferable visual models from natural language supervision, ICML 2021"

    def __init__(
        self,
        inputs: Sequence[str],
        width: int,
        *,
        between: Sequence[str] | None = None,
        around: str | None = None,
        key: str | None = None,
        temperature: float = 0.07,
        floor: float = 0.01,
    ):
        super().__init__(inputs, between, around, key)
        del width  # the model owns the projections
        if not 0 < floor <= temperature:
            raise ValueError(f"expected 0 < floor <= temperature, found {floor} and {temperature}")
        self.floor = floor
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    @property
    def scale(self) -> Tensor:
        """1 / temperature."""
        return self.log_scale.clamp(max=-math.log(self.floor)).exp()

    def loss(self, judged: Vectors, batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar: the mean over pairs of inputs."""
        if self.training:  # beyond its bound it would have no gradient, and never come back
            with torch.no_grad():
                self.log_scale.clamp_(max=-math.log(self.floor))
        return super().loss(judged, batch, heads)

    def chance(self, judged: Vectors, batch: Batch) -> Tensor:
        """The loss of a space that tells nothing apart: the logarithm of the number of rows to choose from."""
        return super().loss(collapse_vectors(judged), batch, {})

    def at_bound(self) -> str | None:
        """What to say where the learned temperature has come to its floor."""
        if self.log_scale.item() < -math.log(self.floor) - 1e-3:
            return None
        return (
            f"its learned temperature lies at its bound of {self.floor:g}, as where training rows are told apart with "
            "ease; more dropout, more rows in a batch or fewer steps generalise better, or set a lower floor"
        )

    def of(self, pair: Pair) -> Tensor:
        logits_PP = self.scale * normalize(pair.one_PE) @ normalize(pair.two_PE).T
        others_PP = pair.same_PP & ~torch.eye(len(logits_PP), dtype=torch.bool, device=logits_PP.device)
        logits_PP = logits_PP.masked_fill(others_PP, float("-inf"))
        both_P = logits_PP.log_softmax(1).diagonal() + logits_PP.log_softmax(0).diagonal()
        return -weighted_mean_loss(both_P, pair.weight_P) / 2
