"""Ready-made sequences of feature vectors (frames, phones, regions): a linear layer, then self-attention along time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyfuse.contracts import spec_of
from polyfuse.layers.attention import Block
from polyfuse.layers.masking import Steps
from polyfuse.layers.pooling import masked_mean
from polyfuse.layers.positions import length_mask, sinusoidal
from polyfuse.records import Spec, Tokens


class Sequence(nn.Module):
    """A linear layer and self-attention over ready-made feature vectors in order; depth 0 gives linear tokens.

    Args:
        size: length of each vector.
        width: of a token; a multiple of ``heads``.
        depth: transformer blocks; with 0, tokens know neither each other nor their position.
        heads: attention heads.
        dropout: of features and in blocks, in training.
        max_tokens: longer sequences are cut.

    See also:
        ``vectors`` where a cell holds one vector.
    """

    paper = "Vaswani et al., Attention is all you need, NeurIPS 2017"

    @spec_of("size")
    @staticmethod
    def wants(max_tokens: int) -> Spec:
        """Standardised features."""
        return Spec("sequence", {"max_tokens": max_tokens})

    def __init__(
        self,
        *,
        size: int,
        width: int = 64,
        depth: int = 1,
        heads: int = 4,
        dropout: float = 0.2,
        max_tokens: int = 512,
    ):
        del max_tokens  # the transform's business
        super().__init__()
        self.width = width
        self.drop, self.embed = nn.Dropout(dropout), nn.Linear(size, width)
        self.blocks = nn.ModuleList(Block(width, heads=heads, dropout=dropout) for _ in range(depth))

    def masking(self) -> Steps:
        """Vectors of the sequence can be hidden."""
        return Steps(self.embed.in_features)

    def forward(self, fields: dict[str, Tensor], present_B: Tensor) -> Tokens:
        """``x`` (U, T, size), ``lengths`` (U,) -> one token per vector (U, T, D)."""
        count = fields["x"].shape[1]
        mask_UT = length_mask(fields["lengths"], count) & present_B[:, None]
        x_UTD = self.embed(self.drop(fields["x"]))
        if self.blocks:
            x_UTD = x_UTD + sinusoidal(count, self.width, like=x_UTD)
        for block in self.blocks:
            x_UTD = block(x_UTD, mask_UT)
        return Tokens(x_UTD, mask_UT, grid=(count,))

    def features(self, fields: dict[str, Tensor]) -> Tensor:
        """What is known before any training: mean and deviation of each feature over time (U, 2 * size)."""
        x_UTF, real_UT = fields["x"], length_mask(fields["lengths"], fields["x"].shape[1])
        mean_UF = masked_mean(x_UTF, real_UT)
        variance_UF = masked_mean((x_UTF - mean_UF[:, None]).square(), real_UT)
        return torch.cat([mean_UF, variance_UF.sqrt()], 1)
