"""A missing input is guessed from those that are there. After Ma et al., SMIL, AAAI 2021, in one deterministic step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.layers.attention import FeedForward
from polyfuse.layers.pooling import masked_mean
from polyfuse.objectives.per_input import mean_over_rows
from polyfuse.records import Batch, State, Tokens


class Impute(nn.Module):
    """Reconstructs the pooled encoding of each input from the other inputs of its row.

    The guess then stands in for the input wherever it is absent and another is there, in training and in use alike.

    Args:
        inputs: names of the inputs.
        width: D of the encoded inputs.

    See also: ``training.missing: token``, one learned token for all rows, which also covers rows without any input.
    """

    paper = "Ma et al., SMIL: Multimodal learning with severely missing modality, AAAI 2021"

    def __init__(self, inputs: Sequence[str], width: int):
        super().__init__()
        if len(inputs) < 2:
            raise ValueError("impute guesses one input from others: it needs two inputs at least")
        self.inputs = tuple(inputs)
        self.read = nn.ModuleList(nn.Linear(width, width) for _ in self.inputs)
        self.guess = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), FeedForward(width)) for _ in self.inputs)

    def _pooled(self, encoded: Mapping[str, Tokens]) -> tuple[Tensor, Tensor]:
        """Pooled inputs (B, M, D) and which are present (B, M)."""
        parts = [encoded[name] for name in self.inputs]
        return (
            torch.stack([masked_mean(p.x_BTD, p.mask_BT) for p in parts], 1),
            torch.stack([p.present_B for p in parts], 1),
        )

    def _guesses(self, pooled_BMD: Tensor, present_BM: Tensor) -> Tensor:
        """Each input from the mean of what the other present ones say of it: (B, M, D)."""
        count = len(self.inputs)
        said_BMD = torch.stack([read(pooled_BMD[:, m]) for m, read in enumerate(self.read)], 1)
        others_MM = ~torch.eye(count, dtype=torch.bool, device=pooled_BMD.device)
        share_BMM = (others_MM & present_BM[:, None]).to(said_BMD.dtype)
        mean_BMD = share_BMM @ said_BMD / share_BMM.sum(-1, keepdim=True).clamp_min(1)
        return torch.stack([mean_BMD[:, m] + guess(mean_BMD[:, m]) for m, guess in enumerate(self.guess)], 1)

    def represent(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Guesses and truth (B, M, D), and which inputs are present (B, M)."""
        pooled_BMD, present_BM = self._pooled(state.encoded)
        return self._guesses(pooled_BMD, present_BM), pooled_BMD.detach(), present_BM

    def loss(self, found: tuple[Tensor, Tensor, Tensor], batch: Batch, heads: Mapping[str, Any]) -> Tensor:
        """Scalar: mean squared error in units of the truth's spread, over rows that have the input and another."""
        del heads
        guess_BMD, truth_BMD, present_BM = found
        spread = truth_BMD.square().mean().clamp_min(1e-6)
        error_BM = F.mse_loss(guess_BMD.float(), truth_BMD.float(), reduction="none").mean(-1) / spread
        judged_BM = present_BM & (present_BM.sum(1, keepdim=True) > 1)
        mean_B = (error_BM * judged_BM).sum(1) / judged_BM.sum(1).clamp_min(1)
        return mean_over_rows(mean_B, judged_BM.any(1), batch)

    def stand_ins(self, encoded: Mapping[str, Tokens]) -> tuple[dict[str, Tensor], Tensor]:
        """Input -> guess (B, D), and the rows (B,) that have an input to guess from."""
        pooled_BMD, present_BM = self._pooled(encoded)
        guesses_BMD = self._guesses(pooled_BMD, present_BM)
        return {name: guesses_BMD[:, m] for m, name in enumerate(self.inputs)}, present_BM.any(1)
