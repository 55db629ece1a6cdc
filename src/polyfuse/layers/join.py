"""From the tokens of an encoder to those a fusion reads: the model width, slots of several columns, absent inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.records import Tokens

FAR = 8.0  # deviations beyond which a standardised number says no more


class Join(nn.Module):
    """Encoder tokens of distinct cells -> tokens of rows at the model width, the slots of a row joined along T.

    Args:
        encoder_width: width of the encoder's tokens.
        width: D of the model.
        slots: columns of this input; with more than one, each marks its tokens with an embedding.
        fixed: the encoder never changes, so that its tokens may be standardised by what ``settle`` saw of them.
        dropout: of what the encoder says, in training.
        keep: hand on what the encoder gave as well (``Tokens.own_BTE``).
    """

    def __init__(
        self,
        encoder_width: int,
        width: int,
        slots: int,
        *,
        fixed: bool = False,
        dropout: float = 0.0,
        keep: bool = False,
    ):
        super().__init__()
        self.dropout, self.keep = dropout, keep
        self.centre_E: Tensor | None
        self.spread_E: Tensor | None
        self.register_buffer("centre_E", torch.zeros(encoder_width) if fixed else None)
        self.register_buffer("spread_E", torch.ones(encoder_width) if fixed else None)
        # no normalisation: the length of a token says how much it matters (rare words have long vectors)
        self.project = nn.Linear(encoder_width, width)
        self.slot = nn.Parameter(torch.randn(slots, width) * 0.02) if slots > 1 else None

    def settle(self, x_UE: Tensor) -> None:
        """Standardise by these vectors (U, E) from now on."""
        assert self.centre_E is not None
        assert self.spread_E is not None
        self.centre_E.copy_(x_UE.mean(0))
        spread_E = x_UE.std(0, unbiased=False)
        self.spread_E.copy_(torch.where(spread_E > 1e-6, spread_E, torch.ones_like(spread_E)))

    def forward(self, tokens: Tokens, index_BK: Tensor) -> Tokens:
        """Tokens (U, T, E), index (B, K) -> Tokens (B, K * T, D)."""
        x_UTE = tokens.x_BTD
        if self.centre_E is not None and self.spread_E is not None:
            x_UTE = ((x_UTE - self.centre_E) / self.spread_E).clamp(-FAR, FAR)
        x_UTD = self.project(F.dropout(x_UTE, self.dropout, self.training) if self.dropout else x_UTE)
        at_BK = index_BK.clamp_min(0)
        mask_BKT = tokens.mask_BT[at_BK] & (index_BK >= 0)[..., None]
        x_BKTD = x_UTD[at_BK]
        own = tokens.x_BTD[at_BK].flatten(1, 2) if self.keep else None
        if self.slot is None:
            span = None if tokens.span_BT2 is None else tokens.span_BT2[at_BK[:, 0]]
            return Tokens(x_BKTD[:, 0], mask_BKT[:, 0], tokens.grid, tokens.prefix, span, own)
        grid = (len(self.slot), *tokens.grid) if tokens.prefix == 0 and tokens.grid else ()
        span = None if tokens.span_BT2 is None else tokens.span_BT2[at_BK].flatten(1, 2)
        return Tokens((x_BKTD + self.slot[:, None]).flatten(1, 2), mask_BKT.flatten(1, 2), grid, 0, span, own)


def concat_tokens(parts: Sequence[Tokens]) -> Tokens:
    """Tokens of several encoders of one input as those of one, along T, each encoder with the same say in their mean.

    A mean over tokens would else hear one sentence vector beside thirty words as one of thirty-one. The length of a
    token says how much it matters (see ``Join``): tokens of an encoder with few are made longer, row by row.

    The first encoder whose tokens lie in a plane, as those of a picture do, or else the first with tokens in a row,
    stands in front and keeps its grid; the others lie outside it. Which one that is depends on no cell.
    """
    if len(parts) == 1:
        return parts[0]
    parts = sorted(parts, key=lambda part: -len(part.grid) if has_grid(part) else 0)
    counts_BP = torch.stack([part.mask_BT.sum(1) for part in parts], 1).to(parts[0].x_BTD.dtype)
    share_BP = counts_BP.sum(1, keepdim=True) / (
        counts_BP.clamp_min(1) * (counts_BP > 0).sum(1, keepdim=True).clamp_min(1)
    )
    x_BTD = torch.cat([part.x_BTD * share_BP[:, n, None, None] for n, part in enumerate(parts)], 1)
    mask_BT, first = torch.cat([part.mask_BT for part in parts], 1), parts[0]
    spans = [part.span_BT2 for part in parts]
    known = [span for span in spans if span is not None]
    span = torch.cat(known, 1) if len(known) == len(spans) else None
    if not has_grid(first):
        return Tokens(x_BTD, mask_BT, span_BT2=span)
    if span is None and first.span_BT2 is not None:
        span = F.pad(first.span_BT2, (0, 0, 0, mask_BT.shape[1] - first.mask_BT.shape[1]))
    return Tokens(x_BTD, mask_BT, first.grid, span_BT2=span)


def has_grid(tokens: Tokens) -> bool:
    """Whether all of the tokens lie in a grid."""
    return bool(tokens.grid) and not tokens.prefix


def insert_stand_in(tokens: Tokens, token_D: Tensor) -> Tokens:
    """Rows without any token get one in the first place: the same for all (D,), or each its own (B, D)."""
    absent_B = ~tokens.present_B
    first_BT = torch.zeros_like(tokens.mask_BT)
    first_BT = torch.cat([absent_B[:, None], first_BT[:, 1:]], 1)
    token_D = token_D.to(tokens.x_BTD.dtype)
    own_BTD = token_D if token_D.ndim == 1 else token_D[:, None]
    x_BTD = torch.where(first_BT[..., None], own_BTD, tokens.x_BTD)
    return Tokens(x_BTD, tokens.mask_BT | first_BT, tokens.grid, tokens.prefix, tokens.span_BT2)


def hide_inputs(encoded: dict[str, Tokens], keep_BM: Tensor) -> dict[str, Tokens]:
    """The same inputs, in rows and columns where ``keep_BM`` (B, M) is False without any token."""
    return {name: replace(t, mask_BT=t.mask_BT & keep_BM[:, m, None]) for m, (name, t) in enumerate(encoded.items())}
