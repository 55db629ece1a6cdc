"""Contrastive alignment by softmax over the batch, InfoNCE. van den Oord et al., 2018; Radford et al., ICML 2021."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyfuse.layers.space import unit
from polyfuse.objectives.pairs import Pair, PairwiseAlignment, mean_over


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

    def of(self, pair: Pair) -> Tensor:
        logits_PP = self.scale * unit(pair.one_PE) @ unit(pair.two_PE).T
        others_PP = pair.same_PP & ~torch.eye(len(logits_PP), dtype=torch.bool, device=logits_PP.device)
        logits_PP = logits_PP.masked_fill(others_PP, float("-inf"))
        both_P = logits_PP.log_softmax(1).diagonal() + logits_PP.log_softmax(0).diagonal()
        return -mean_over(both_P, pair.weight_P) / 2
