"""Late fusion: a tower per input, joined only at the end by concatenation, mean or learned weights.

Snoek, Worring, Smeulders: Early versus late fusion in semantic video analysis, ACM Multimedia 2005.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyfuse.layers.attention import FeedForward
from polyfuse.layers.inputs import mean_tokens, one_token
from polyfuse.layers.pooling import masked_mean
from polyfuse.records import Fused, Tokens

COMBINATIONS = ("concat", "mean", "weighted")


class Late(nn.Module):
    """Each input through its own tower, joined at the end; ``mean`` and ``weighted`` count the present inputs alone.

    Args:
        inputs: names of the inputs.
        width: D of every input and of the result.
        combine: ``concat``, one linear layer over all towers, absent ones zero; ``mean``; or ``weighted``, a softmax of
            one learned score per input, over the inputs that a row has.
        depth: feed-forward layers per tower; 0 joins the pooled inputs as they are.
        dropout: inside the towers, in training.

    Shapes: each input (B, T_m, D) -> joint (B, 1, D).

    Raises:
        ValueError: an unknown ``combine``.

    See also: ``concat`` (the fusion) where inputs must be combined rather than voted; ``late`` with the mean degrades
    most gently when inputs are missing.
    """

    paper = "Snoek, Worring, Smeulders: Early versus late fusion, ACM Multimedia 2005"

    def __init__(
        self, inputs: Sequence[str], width: int, *, combine: str = "concat", depth: int = 1, dropout: float = 0.1
    ):
        super().__init__()
        if combine not in COMBINATIONS:
            raise ValueError(f"combine: expected one of {', '.join(COMBINATIONS)}, found {combine!r}")
        self.inputs, self.combine = tuple(inputs), combine
        self.towers = nn.ModuleList(
            nn.ModuleList(nn.Sequential(nn.LayerNorm(width), FeedForward(width, dropout=dropout)) for _ in range(depth))
            for _ in self.inputs
        )
        self.join = nn.Linear(width * len(self.inputs), width) if combine == "concat" else None
        # a single weight is always 1, so there is nothing to learn
        learned = combine == "weighted" and len(self.inputs) > 1
        self.weight_M = nn.Parameter(torch.zeros(len(self.inputs))) if learned else None

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        """{input: Tokens} -> Fused."""
        pooled_BMD, present_BM = mean_tokens(tokens, self.inputs)
        towers_BMD = torch.stack([self._tower(m, x_BD) for m, x_BD in enumerate(pooled_BMD.unbind(1))], 1)
        if self.join is not None:
            x_BD = self.join((towers_BMD * present_BM[..., None].to(towers_BMD.dtype)).flatten(1))
        elif self.weight_M is not None:
            x_BD = (towers_BMD * self.weights(present_BM)[..., None]).sum(1)
        else:
            x_BD = masked_mean(towers_BMD, present_BM)
        return one_token(x_BD, present_BM, tokens)

    def _tower(self, at: int, x_BD: Tensor) -> Tensor:
        for layer in self.towers[at]:  # type: ignore[attr-defined]
            x_BD = x_BD + layer(x_BD)
        return x_BD

    def weights(self, present_BM: Tensor) -> Tensor:
        """Learned weight of each input: sums to 1 over the present ones of a row, 0 elsewhere: (B, M) -> (B, M)."""
        assert self.weight_M is not None
        weight_BM = self.weight_M.expand(present_BM.shape).masked_fill(~present_BM, -1e4).softmax(1)
        return weight_BM * present_BM
