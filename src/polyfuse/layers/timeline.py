"""Tokens on a time line: the mean of those that cover each step of time, whatever their number, order and length."""

from __future__ import annotations

import torch
from torch import Tensor

from polyfuse.records import Tokens


def mean_by_step(tokens: Tokens, step: float, count: int) -> tuple[Tensor, Tensor]:
    """Mean of the real tokens over the middle of each step, 0 where none is: (B, F, D), and where any is (B, F).

    A token that lies between the middles of two steps belongs to the step it lies in. Tokens of the whole cell
    (``prefix``) belong to none.

    Args:
        tokens: with ``span_BT2`` in seconds, in any order.
        step: seconds.
        count: F, steps.
    """
    assert tokens.span_BT2 is not None
    x_BTD, mask_BT = tokens.x_BTD[:, tokens.prefix :].float(), tokens.mask_BT[:, tokens.prefix :]
    start_BT, end_BT = tokens.span_BT2[:, tokens.prefix :].float().unbind(-1)
    first_BT = torch.ceil(start_BT / step - 0.5 - 1e-4).long()
    behind_BT = torch.ceil(end_BT / step - 0.5 - 1e-4).long()
    own_BT = ((start_BT + end_BT) / (2 * step)).long()
    short_BT = behind_BT <= first_BT
    first_BT, behind_BT = torch.where(short_BT, own_BT, first_BT), torch.where(short_BT, own_BT + 1, behind_BT)
    shown_BTE = torch.cat([x_BTD, torch.ones_like(x_BTD[..., :1])], -1) * mask_BT[..., None]
    change_BFE = x_BTD.new_zeros(x_BTD.shape[0], count + 1, shown_BTE.shape[2])
    for at_BT, sign in ((first_BT, 1), (behind_BT, -1)):  # what begins is added, what ends taken away
        place_BT1 = at_BT.clamp(0, count)[..., None]
        change_BFE = change_BFE.scatter_add(1, place_BT1.expand_as(shown_BTE), sign * shown_BTE)
    sum_BFE = change_BFE.cumsum(1)[:, :count]
    number_BF = sum_BFE[..., -1].round()
    mean_BFD = sum_BFE[..., :-1] / number_BF.clamp_min(1)[..., None]
    return (mean_BFD * (number_BF > 0)[..., None]).to(tokens.x_BTD.dtype), number_BF > 0


def ends(tokens: Tokens) -> Tensor:
    """Seconds at which the last real token of each row ends, 0 where there is none: (B,)."""
    assert tokens.span_BT2 is not None
    return (tokens.span_BT2[..., 1].float() * tokens.mask_BT).amax(1)
