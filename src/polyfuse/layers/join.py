"""From the tokens of an encoder to those a fusion reads: the model width, slots of several columns, absent inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyfuse.records import Tokens


class Join(nn.Module):
    """Encoder tokens of distinct cells -> tokens of rows at the model width, the slots of a row joined along T.

    Args:
        encoder_width: width of the encoder's tokens.
        width: D of the model.
        slots: columns of this input; with more than one, each marks its tokens with an embedding.
    """

    def __init__(self, encoder_width: int, width: int, slots: int):
        super().__init__()
        # no normalisation: the length of a token says how much it matters (rare words have long vectors)
        self.project = nn.Linear(encoder_width, width)
        self.slot = nn.Parameter(torch.randn(slots, width) * 0.02) if slots > 1 else None

    def forward(self, tokens: Tokens, index_BK: Tensor) -> Tokens:
        """Tokens (U, T, E), index (B, K) -> Tokens (B, K * T, D)."""
        x_UTD = self.project(tokens.x_BTD)
        at_BK = index_BK.clamp_min(0)
        mask_BKT = tokens.mask_BT[at_BK] & (index_BK >= 0)[..., None]
        x_BKTD = x_UTD[at_BK]
        if self.slot is None:
            span = None if tokens.span_BT2 is None else tokens.span_BT2[at_BK[:, 0]]
            return Tokens(x_BKTD[:, 0], mask_BKT[:, 0], tokens.grid, tokens.prefix, span)
        grid = (len(self.slot), *tokens.grid) if tokens.prefix == 0 and tokens.grid else ()
        span = None if tokens.span_BT2 is None else tokens.span_BT2[at_BK].flatten(1, 2)
        return Tokens((x_BKTD + self.slot[:, None]).flatten(1, 2), mask_BKT.flatten(1, 2), grid, 0, span)


def stand_in(tokens: Tokens, token_D: Tensor) -> Tokens:
    """Rows without any token get one in the first place: the same for all (D,), or each its own (B, D)."""
    absent_B = ~tokens.present_B
    first_BT = torch.zeros_like(tokens.mask_BT)
    first_BT = torch.cat([absent_B[:, None], first_BT[:, 1:]], 1)
    token_D = token_D.to(tokens.x_BTD.dtype)
    own_BTD = token_D if token_D.ndim == 1 else token_D[:, None]
    x_BTD = torch.where(first_BT[..., None], own_BTD, tokens.x_BTD)
    return Tokens(x_BTD, tokens.mask_BT | first_BT, tokens.grid, tokens.prefix, tokens.span_BT2)


def hide(encoded: dict[str, Tokens], keep_BM: Tensor) -> dict[str, Tokens]:
    """The same inputs, in rows and columns where ``keep_BM`` (B, M) is False without any token."""
    return {
        name: Tokens(t.x_BTD, t.mask_BT & keep_BM[:, m, None], t.grid, t.prefix, t.span_BT2)
        for m, (name, t) in enumerate(encoded.items())
    }
