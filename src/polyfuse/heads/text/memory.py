"""What a text is written about: the joint tokens of a fusion and those of every input, each knowing its place.

A fusion may pool its inputs into one token (``concat``); the tokens of each input after interaction stand beside it in
``Fused.by_input``, so that a picture's regions reach every word under every fusion.
"""

from __future__ import annotations

from dataclasses import fields, replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.layers.positions import sinusoidal
from polyfuse.records import Fused, Tokens


class Memory(nn.Module):
    """Fused -> Tokens (B, S, D): joint tokens, then the tokens of each input, normalised, with a code of their place.

    Args:
        width: D.
    """

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, fused: Fused) -> Tokens:
        """Everything there is to read of a row."""
        found = [part for _, part in memory_parts(fused)]
        x_BSD = torch.cat([self.placed(part) for part in found], 1)
        return Tokens(x_BSD, torch.cat([part.mask_BT for part in found], 1))

    def placed(self, tokens: Tokens) -> Tensor:
        """Normalised tokens, and where each lies in its grid (B, T, D)."""
        x_BTD = self.norm(tokens.x_BTD)
        grid = token_grid(tokens)
        if not grid:
            return x_BTD
        code_TD = grid_code(grid, x_BTD.shape[-1], like=x_BTD)
        behind = x_BTD.shape[1] - tokens.prefix - code_TD.shape[0]
        return x_BTD + F.pad(code_TD, (0, 0, tokens.prefix, behind))


def select_rows(memory: Tokens, row_N: Tensor) -> Tokens:
    """What is read of other rows, some of them several times, with whatever a decoder put beside the tokens."""
    values = {part.name: getattr(memory, part.name) for part in fields(memory)}
    own: dict[str, Any] = {name: value[row_N] for name, value in values.items() if isinstance(value, Tensor)}
    return replace(memory, **own)


def memory_parts(fused: Fused) -> list[tuple[str | None, Tokens]]:
    """What a memory is made of, in order: the joint tokens, which belong to no input (None), then those of each."""
    return [(None, joint_tokens(fused)), *fused.by_input.items()]


def token_grid(tokens: Tokens) -> tuple[int, ...]:
    """The shape of the tokens behind their prefix; () where they have no order, or there are none."""
    count = tokens.x_BTD.shape[1] - tokens.prefix
    if not tokens.grid or count < 1:
        return ()
    return tokens.grid if prod(tokens.grid) <= count else (count,)


def joint_tokens(fused: Fused) -> Tokens:
    """The joint tokens of a fusion without those that ``by_input`` has as well."""
    joint = fused.tokens
    count = sum(tokens.x_BTD.shape[1] for tokens in fused.by_input.values())
    if not count or joint.x_BTD.shape[1] != joint.prefix + count:
        return joint
    return Tokens(joint.x_BTD[:, : joint.prefix], joint.mask_BT[:, : joint.prefix], prefix=joint.prefix)


def grid_code(grid: tuple[int, ...], width: int, *, like: Tensor) -> Tensor:
    """The sinusoidal code of the places of a grid, each axis having a share of the width: (T, D)."""
    shares = [width // len(grid)] * len(grid)
    shares[0] += width - sum(shares)
    codes = []
    for axis, (length, share) in enumerate(zip(grid, shares, strict=True)):
        code = sinusoidal(length, share, like=like)
        shape = [1] * len(grid)
        shape[axis] = length
        codes.append(code.view(*shape, share).expand(*grid, share))
    return torch.cat(codes, -1).flatten(0, -2)
