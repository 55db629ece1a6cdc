"""From masked tokens to one vector per row; a row without tokens gives exactly 0."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyfuse.records import Tokens


def masked_mean(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over real tokens: (B, T, D), (B, T) -> (B, D)."""
    weight_BT1 = mask_BT[..., None].to(x_BTD.dtype)
    return (x_BTD * weight_BT1).sum(1) / weight_BT1.sum(1).clamp_min(1)


def masked_max(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Maximum over real tokens: (B, T, D), (B, T) -> (B, D)."""
    top = x_BTD.masked_fill(~mask_BT[..., None], torch.finfo(x_BTD.dtype).min).amax(1)
    return top * mask_BT.any(-1, keepdim=True).to(x_BTD.dtype)


def pool_tokens(tokens: Tokens) -> Tokens:
    """The mean of a row's real tokens as its only one; a row without tokens stays without."""
    x_BD = masked_mean(tokens.x_BTD, tokens.mask_BT)
    return Tokens(x_BD[:, None], tokens.present_B[:, None], grid=(1,))


def masked_last(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """The last real token: (B, T, D), (B, T) -> (B, D)."""
    at_B = (mask_BT * torch.arange(mask_BT.shape[1], device=mask_BT.device)).argmax(1)
    # not take_along_dim, which fixes batch and length in an exported file
    last_BD = x_BTD.gather(1, at_B[:, None, None].expand(-1, -1, x_BTD.shape[-1]))[:, 0]
    return last_BD * mask_BT.any(-1, keepdim=True).to(x_BTD.dtype)


class AttentionPool(nn.Module):
    """Mean of tokens weighted by a learned score per token (Yang et al., NAACL 2016).

    A model whose tokens are always single never trains the score; ``masked_mean`` is the better choice there.
    """

    def __init__(self, width: int):
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)  # the softmax would not see a bias

    def forward(self, tokens: Tokens) -> Tensor:
        """Tokens (B, T, D) -> (B, D)."""
        mask_BT1 = tokens.mask_BT[..., None]
        score_BT1 = self.score(tokens.x_BTD).masked_fill(~mask_BT1, -1e4)
        weight_BT1 = score_BT1.softmax(1) * mask_BT1.to(score_BT1.dtype)
        return (tokens.x_BTD * weight_BT1).sum(1)
