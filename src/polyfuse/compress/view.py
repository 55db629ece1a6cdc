"""What a student and its teacher are compared by: scores, the joint vector, and where inputs are strong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from polyfuse.layers.pooling import masked_mean
from polyfuse.records import State, Tokens

BINS = 16  # of a map along a sequence; 4 x 4 over a plane

View = dict[str, Any]
"""``scores``: output -> (B, C); ``joint``: (B, D); ``maps``: input -> (B, S), summing to 1, 0 where it is missing."""


def view(state: State) -> View:
    """What is compared of a state, row by row."""
    assert state.fused is not None
    joint = state.fused.tokens
    return {
        "scores": dict(state.scores),
        "joint": masked_mean(joint.x_BTD, joint.mask_BT),
        "maps": {name: strength(tokens) for name, tokens in state.encoded.items()},
    }


def strength(tokens: Tokens) -> Tensor:
    """Where an input's tokens are strong: their squared lengths, summed within ``BINS`` equal parts of each row (B, S).

    Tokens that lie in a plane are taken by 4 x 4 parts of it, so that maps of encoders of any size compare.
    """
    energy_BT = tokens.x_BTD.float().square().sum(-1) * tokens.mask_BT
    if len(tokens.grid) == 2 and not tokens.prefix and tokens.grid[0] * tokens.grid[1] == energy_BT.shape[1]:
        side, height, width = round(BINS**0.5), *tokens.grid
        plane = energy_BT.unflatten(1, tokens.grid).transpose(1, 2).flatten(0, 1)  # (B * W, H)
        rows = _parts(plane, torch.full_like(plane[:, 0], height), side)
        plane = rows.unflatten(0, (-1, width)).transpose(1, 2).flatten(0, 1)  # (B * side, W)
        parts_BS = _parts(plane, torch.full_like(plane[:, 0], width), side).unflatten(0, (-1, side)).flatten(1)
    else:
        parts_BS = _parts(energy_BT, tokens.mask_BT.sum(1).to(energy_BT.dtype), BINS)
    return parts_BS / parts_BS.sum(1, keepdim=True).clamp_min(1e-12)


def _parts(energy_NT: Tensor, length_N: Tensor, count: int) -> Tensor:
    """Sums over equal parts of the first ``length`` values of each row (N, count), a value shared where it is cut."""
    total_NT = torch.cat([torch.zeros_like(energy_NT[:, :1]), energy_NT.cumsum(1)], 1)
    at_NS = length_N[:, None] * torch.linspace(0, 1, count + 1, device=energy_NT.device)
    low_NS = at_NS.floor().clamp_max(energy_NT.shape[1] - 1).long()
    share_NS = at_NS - low_NS
    reached_NS = total_NT.gather(1, low_NS) * (1 - share_NS) + total_NT.gather(1, low_NS + 1) * share_NS
    return reached_NS.diff(dim=1)


def detached(found: View) -> View:
    """The same, without gradients."""
    return {
        key: {n: t.detach() for n, t in value.items()} if isinstance(value, Mapping) else value.detach()
        for key, value in found.items()
    }
