"""Texts longer than an encoder's window, read in windows that overlap, each token kept from where most is around it.

Which windows a text has depends on its own length alone, so neither padding nor its neighbours change what is read.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

OVERLAP = 4  # windows share one part in so many of what they hold


def in_windows(
    read: Callable[[Tensor, Tensor], Tensor],
    ids_UT: Tensor,
    mask_UT: Tensor,
    lengths_U: Tensor,
    size: int,
    around: tuple[int, int] = (0, 0),
) -> Tensor:
    """What an encoder reads of texts of any length: (U, T, D), a vector per token.

    Args:
        read: ids (W, S) and mask (W, S), S at most ``size`` -> (W, S, D).
        mask_UT: True where a token is real; of a missing cell nowhere.
        lengths_U: tokens of each text, 1 or more, those around it counted.
        size: tokens of a window at most.
        around: special tokens in front of and behind a text, which every window gets.

    Raises:
        ValueError: windows are asked for while exporting.
    """
    front, behind = around
    inner = size - front - behind
    if inner < OVERLAP:
        raise ValueError(
            f"max_tokens: windows of {size} tokens have no room for text; expected {size + OVERLAP} or more"
        )
    if torch.compiler.is_exporting():
        raise ValueError("texts are read in windows, which cannot be exported; take the encoder words or ngrams")
    if ids_UT.shape[1] <= size:
        return read(ids_UT, mask_UT)
    stride = inner - inner // OVERLAP
    own_U = (lengths_U - front - behind).clamp_min(1)  # tokens of the text itself
    count_U = 1 + (own_U - inner + stride - 1).clamp_min(0) // stride
    first_U = count_U.cumsum(0) - count_U
    row_W = torch.arange(len(ids_UT), device=ids_UT.device).repeat_interleave(count_U)
    start_W = (torch.arange(len(row_W), device=ids_UT.device) - first_U[row_W]) * stride
    length_W = (own_U[row_W] - start_W).clamp_max(inner)
    column_S = torch.arange(size, device=ids_UT.device)
    at_WS = torch.where(column_S < front, column_S, column_S + start_W[:, None])
    ends_WS = (own_U[row_W] - length_W)[:, None] + column_S  # those behind a text follow the last of a window
    at_WS = torch.where(column_S >= (front + length_W)[:, None], ends_WS, at_WS).clamp_max(ids_UT.shape[1] - 1)
    real_WS = column_S < (front + length_W + behind)[:, None]
    rows_WS = row_W[:, None].expand_as(at_WS)
    x_WSD = read(ids_UT[rows_WS, at_WS], mask_UT[rows_WS, at_WS] & real_WS)
    place_T = torch.arange(ids_UT.shape[1], device=ids_UT.device)
    text_UT = (place_T - front).clamp_min(0).minimum(own_U[:, None] - 1)
    window_UT = ((text_UT - inner // OVERLAP // 2).clamp_min(0) // stride).minimum(count_U[:, None] - 1)
    which_UT = first_U[:, None] + window_UT
    column_UT = torch.where(place_T < front, place_T, place_T - start_W[which_UT])
    return x_WSD[which_UT, column_UT.clamp(0, size - 1)]
