"""Texts of several rows in one sequence, each seeing itself alone: no padding, and what a row begins with stands once.

Krell et al., Efficient Sequence Packing without Cross-contamination, 2021. The texts of one row (several references)
see the same prefix and not each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where everything stands in S sequences of L places, counted through all sequences.

    Shapes: ``prefix_P`` and ``text_P`` place of each real token of a prefix or text, row by row; ``last_N`` place of
    the last token of the prefix of each text; ``position_SL`` position within a row, ``seen_SLL`` what a place sees.
    """

    prefix_P: Tensor
    text_P: Tensor
    last_N: Tensor
    position_SL: Tensor
    seen_SLL: Tensor


def pack_rows(prefix_BP: Tensor, text_NT: Tensor, row_N: Tensor, most: int) -> Packing:
    """Rows put into sequences one after the other, each into the first with room for it.

    Args:
        prefix_BP: which tokens of the prefixes are real.
        text_NT: which tokens of the texts are real; a row without any text is left out.
        row_N: row of each text, none before an earlier one.
        most: places of a sequence; a longer row has a sequence of its own.
    """
    device = prefix_BP.device
    own_N, count = text_NT.sum(1), len(prefix_BP)
    used_B = torch.zeros(count, dtype=torch.bool, device=device).index_fill(0, row_N, True)
    prefix_BP = prefix_BP & used_B[:, None]
    before_B = prefix_BP.sum(1)
    whole_B = before_B.index_add(0, row_N, own_N)
    sequence, start, length = _first_fit(whole_B.tolist(), most)
    start_B = torch.tensor(start, device=device) + torch.tensor(sequence, device=device) * length
    earlier_N = own_N.cumsum(0) - own_N  # of all rows; less that of the first text of the row
    first_B = torch.full((count,), int(own_N.sum()), device=device).scatter_reduce(0, row_N, earlier_N, "amin")
    start_N = start_B[row_N] + before_B[row_N] + earlier_N - first_B[row_N]
    prefix_P = (start_B[:, None] + prefix_BP.cumsum(1) - 1)[prefix_BP]
    text_P = (start_N[:, None] + text_NT.cumsum(1) - 1)[text_NT]
    rows_B, texts_N = torch.arange(count, device=device), torch.arange(len(row_N), device=device)
    places = (max(sequence, default=0) + 1) * length
    row_X, branch_X, position_X = (prefix_P.new_full((places,), fill) for fill in (-1, -1, 0))
    row_X[prefix_P], row_X[text_P] = rows_B.repeat_interleave(before_B), row_N.repeat_interleave(own_N)
    branch_X[text_P] = texts_N.repeat_interleave(own_N)
    position_X[prefix_P] = (prefix_BP.cumsum(1) - 1)[prefix_BP]
    position_X[text_P] = (before_B[row_N][:, None] + text_NT.cumsum(1) - 1)[text_NT]
    row_SL, branch_SL = row_X.view(-1, length), branch_X.view(-1, length)
    same_SLL = row_SL[:, :, None] == row_SL[:, None]
    open_SLL = (branch_SL[:, None] == -1) | (branch_SL[:, :, None] == branch_SL[:, None])
    seen_SLL = same_SLL & open_SLL & torch.ones(length, length, dtype=torch.bool, device=device).tril()
    return Packing(prefix_P, text_P, (start_B + before_B - 1)[row_N], position_X.view(-1, length), seen_SLL)


def _first_fit(sizes: list[int], most: int) -> tuple[list[int], list[int], int]:
    """Sequence and start of each row, and the places of the longest sequence."""
    filled: list[int] = []
    sequence, start = [], []
    for size in sizes:
        at = next((s for s, used in enumerate(filled) if used + size <= most), len(filled))
        if at == len(filled):
            filled.append(0)
        sequence.append(at)
        start.append(filled[at])
        filled[at] += size
    return sequence, start, max(1, *filled, 1)
