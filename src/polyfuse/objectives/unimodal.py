"""Every input must answer alone: auxiliary losses that keep the weaker modalities learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyfuse.objectives.per_input import Alone, single_input_losses, single_input_scores
from polyfuse.records import Batch, State


class Unimodal(nn.Module):
    """The sum over inputs of the loss of a head that sees this input alone.

    L = sum over rows i and inputs m of l_m(M(x_im), y_i), each mean over the rows that have the input; a model trained
    on the fused answer alone stops teaching an encoder once another input suffices.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.

    See also: ``ogm_ge`` and ``gradient_blending``, which balance the inputs by how fast each learns.
    """

    paper = "Wang et al., What makes training multi-modal classification networks hard?, CVPR 2020"
    wants_scores = True

    def __init__(self, inputs: Sequence[str], width: int):
        super().__init__()
        del inputs, width  # the model owns the heads

    def represent(self, state: State) -> Alone:
        """Scores of each input alone."""
        return single_input_scores(state)

    def loss(self, judged: Alone, batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar: the sum over inputs, and over outputs."""
        found = [loss for by_input in single_input_losses(judged, batch, heads).values() for loss in by_input.values()]
        return torch.stack(found).sum() if found else batch.weights_B.new_zeros(())
