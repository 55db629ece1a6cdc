"""Words meet tokens by where both lie in the cell: the mean of the tokens that a word touches."""

from __future__ import annotations

import torch
from torch import Tensor

from polyfuse.records import Tokens

FAR = torch.iinfo(torch.int64).max


def mean_by_word(tokens: Tokens, span_BW2: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the real tokens that touch each word, 0 where none does: (B, W, D), and which words have any (B, W).

    A token that touches several words belongs to the first and to the last of them.

    Args:
        tokens: with ``span_BT2``; in any order. Those of no length touch nothing.
        span_BW2: start and end of each word, in order and apart.
        lengths_B: words of each row; what stands behind is padding.
    """
    assert tokens.span_BT2 is not None
    words = span_BW2.shape[1]
    x_BTD, start_BT, end_BT = tokens.x_BTD, tokens.span_BT2[..., 0], tokens.span_BT2[..., 1]
    real_BW = torch.arange(words, device=span_BW2.device) < lengths_B[:, None]
    start_BW = span_BW2[..., 0].masked_fill(~real_BW, FAR).contiguous()
    end_BW = span_BW2[..., 1].masked_fill(~real_BW, FAR).contiguous()
    first_BT = torch.searchsorted(
        end_BW, start_BT.contiguous(), right=True
    )  # the first word that ends behind its start
    last_BT = torch.searchsorted(start_BW, end_BT.contiguous()) - 1  # the last that begins before its end
    touches_BT = tokens.mask_BT & (end_BT > start_BT) & (first_BT <= last_BT)
    sum_BWD = x_BTD.new_zeros(x_BTD.shape[0], words + 1, x_BTD.shape[2])
    count_BW = x_BTD.new_zeros(x_BTD.shape[0], words + 1)
    for at_BT, counts_BT in ((first_BT, touches_BT), (last_BT, touches_BT & (last_BT > first_BT))):
        place_BT = at_BT.masked_fill(~counts_BT, words)  # the place behind all words takes what touches none
        shown_BTD = x_BTD * counts_BT[..., None].to(x_BTD.dtype)
        sum_BWD = sum_BWD.scatter_add(1, place_BT[..., None].expand_as(shown_BTD), shown_BTD)
        count_BW = count_BW.scatter_add(1, place_BT, counts_BT.to(x_BTD.dtype))
    return sum_BWD[:, :words] / count_BW[:, :words, None].clamp_min(1), count_BW[:, :words] > 0
