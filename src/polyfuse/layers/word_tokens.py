"""Words meet tokens by where both lie in the cell: the mean of the tokens that a word touches."""

from __future__ import annotations

import torch
from torch import Tensor

from polyfuse.records import Tokens

FAR = torch.iinfo(torch.int64).max


def mean_by_word(tokens: Tokens, span_BW2: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the real tokens that touch each word, 0 where none does: (B, W, D), and which words have any (B, W).

    A token belongs to every word that it touches: one that stands for a whole stretch to all words in it.

    Args:
        tokens: with ``span_BT2``; in any order. Those of no length touch nothing.
        span_BW2: start and end of each word, in order and apart.
        lengths_B: words of each row; what stands behind is padding.
    """
    x_BTD, words = tokens.x_BTD, span_BW2.shape[1]
    first_BT, last_BT, touches_BT = _words_of(tokens, span_BW2, lengths_B)
    sum_BWD = x_BTD.new_zeros(x_BTD.shape[0], words + 1, x_BTD.shape[2])
    count_BW = x_BTD.new_zeros(x_BTD.shape[0], words + 1)
    for at_BT, counts_BT in ((first_BT, touches_BT), (last_BT, touches_BT & (last_BT > first_BT))):
        place_BT = at_BT.masked_fill(~counts_BT, words)  # the place behind all words takes what touches none
        shown_BTD = x_BTD * counts_BT[..., None].to(x_BTD.dtype)
        sum_BWD = sum_BWD.scatter_add(1, place_BT[..., None].expand_as(shown_BTD), shown_BTD)
        count_BW = count_BW.scatter_add(1, place_BT, counts_BT.to(x_BTD.dtype))
    wide_BT = touches_BT & (last_BT > first_BT + 1)
    if not torch.compiler.is_exporting() and wide_BT.any():
        wide_T = wide_BT.any(0)  # few: those of subwords or words are not among them
        at_W11 = torch.arange(words, device=x_BTD.device)[:, None]
        between_BWT = (first_BT[:, None, wide_T] < at_W11) & (at_W11 < last_BT[:, None, wide_T])
        between_BWT = (between_BWT & wide_BT[:, None, wide_T]).to(x_BTD.dtype)
        sum_BWD = torch.cat([sum_BWD[:, :words] + between_BWT @ x_BTD[:, wide_T], sum_BWD[:, words:]], 1)
        count_BW = torch.cat([count_BW[:, :words] + between_BWT.sum(2), count_BW[:, words:]], 1)
    return sum_BWD[:, :words] / count_BW[:, :words, None].clamp_min(1), count_BW[:, :words] > 0


def first_by_word(tokens: Tokens, span_BW2: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
    """The first real token that touches each word, 0 where none does: (B, W, D), and which words have one (B, W).

    Args:
        tokens, span_BW2, lengths_B: as of ``mean_by_word``, tokens in the order of the text.
    """
    words, length = span_BW2.shape[1], tokens.x_BTD.shape[1]
    first_BT, last_BT, touches_BT = _words_of(tokens, span_BW2, lengths_B)
    order_BT = torch.arange(length, device=first_BT.device).expand_as(first_BT)
    found_BW = order_BT.new_full((len(order_BT), words + 1), length)
    for at_BT in (first_BT, last_BT):
        place_BT = at_BT.masked_fill(~touches_BT, words)
        found_BW = found_BW.scatter_reduce(1, place_BT, order_BT, "amin")
    found_BW = found_BW[:, :words]
    known_BW = found_BW < length
    at_BWD = found_BW.clamp_max(length - 1)[..., None].expand(-1, -1, tokens.x_BTD.shape[2])
    return tokens.x_BTD.gather(1, at_BWD) * known_BW[..., None].to(tokens.x_BTD.dtype), known_BW


def _words_of(tokens: Tokens, span_BW2: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The first and the last word that each token touches, and whether it touches any: (B, T) each."""
    assert tokens.span_BT2 is not None
    start_BT, end_BT = tokens.span_BT2[..., 0], tokens.span_BT2[..., 1]
    real_BW = torch.arange(span_BW2.shape[1], device=span_BW2.device) < lengths_B[:, None]
    start_BW = span_BW2[..., 0].masked_fill(~real_BW, FAR).contiguous()
    end_BW = span_BW2[..., 1].masked_fill(~real_BW, FAR).contiguous()
    # the first word that ends behind its start, and the last that begins before its end
    first_BT = torch.searchsorted(end_BW, start_BT.contiguous(), right=True)
    last_BT = torch.searchsorted(start_BW, end_BT.contiguous()) - 1
    return first_BT, last_BT, tokens.mask_BT & (end_BT > start_BT) & (first_BT <= last_BT)
