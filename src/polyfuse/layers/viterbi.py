"""Chains of classes: the likeliest one under forbidden steps (Viterbi, 1967), and the sum over all of them.

Lafferty et al., Conditional random fields, ICML 2001; Lample et al., Neural architectures for named entity recognition,
NAACL 2016. All in float32 and over a whole batch: words one after another, C * C steps each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from polyfuse.data.cells.tag_schemes import split_tag

NEVER = -1e4  # score of a step that must not be


def iob2_steps(classes: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Scores of steps between tags (C, C), from the first axis to the second, and of beginning with one (C,).

    0 where IOB2 allows it and ``NEVER`` where ``I`` follows no ``B`` or ``I`` of its own label.
    """
    split = [split_tag(tag) for tag in classes]
    inside = torch.tensor([letter == "I" for letter, _ in split])
    follows = torch.tensor([[one[0] in ("B", "I") and one[1] == other[1] for other in split] for one in split])
    steps_CC = torch.zeros(len(classes), len(classes)).masked_fill(inside & ~follows, NEVER)
    return steps_CC, torch.zeros(len(classes)).masked_fill(inside, NEVER)


def best_chain(scores_BWC: Tensor, lengths_B: Tensor, steps_CC: Tensor, first_C: Tensor, last_C: Tensor) -> Tensor:
    """The classes of the chain with the greatest sum of scores (B, W); what stands behind a row's end means nothing."""
    scores_BWC = scores_BWC.float()
    if not scores_BWC.shape[1]:
        return lengths_B.new_zeros(len(lengths_B), 0)
    best_BC = first_C + scores_BWC[:, 0]
    came_from: list[Tensor] = []
    stays_C = torch.arange(scores_BWC.shape[2], device=scores_BWC.device)
    for at in range(1, scores_BWC.shape[1]):
        top_BC, from_BC = (best_BC[:, :, None] + steps_CC).max(1)
        goes_B1 = (at < lengths_B)[:, None]
        best_BC = torch.where(goes_B1, top_BC + scores_BWC[:, at], best_BC)
        came_from.append(torch.where(goes_B1, from_BC, stays_C))
    class_B = (best_BC + last_C).argmax(1)
    chain = [class_B]
    for from_BC in reversed(came_from):
        class_B = from_BC.gather(1, class_B[:, None])[:, 0]
        chain.append(class_B)
    return torch.stack(chain[::-1], 1)


def log_sum_of_chains(
    scores_BWC: Tensor, lengths_B: Tensor, steps_CC: Tensor, first_C: Tensor, last_C: Tensor
) -> Tensor:
    """Logarithm of the sum over all chains of the exponential of their score (B,); 0 for a row without words."""
    scores_BWC = scores_BWC.float()
    if not scores_BWC.shape[1]:
        return scores_BWC.new_zeros(len(lengths_B))
    sum_BC = first_C + scores_BWC[:, 0]
    for at in range(1, scores_BWC.shape[1]):
        next_BC = (sum_BC[:, :, None] + steps_CC).logsumexp(1) + scores_BWC[:, at]
        sum_BC = torch.where((at < lengths_B)[:, None], next_BC, sum_BC)
    return torch.where(lengths_B > 0, (sum_BC + last_C).logsumexp(1), 0.0)


def score_of_chain(
    scores_BWC: Tensor, classes_BW: Tensor, lengths_B: Tensor, steps_CC: Tensor, first_C: Tensor, last_C: Tensor
) -> Tensor:
    """Score of one chain per row (B,); 0 for a row without words."""
    scores_BWC = scores_BWC.float()
    words = scores_BWC.shape[1]
    if not words:
        return scores_BWC.new_zeros(len(lengths_B))
    real_BW = torch.arange(words, device=lengths_B.device) < lengths_B[:, None]
    own_B = (scores_BWC.gather(2, classes_BW[..., None])[..., 0] * real_BW).sum(1)
    steps_B = (steps_CC[classes_BW[:, :-1], classes_BW[:, 1:]] * real_BW[:, 1:]).sum(1)
    end_B = classes_BW.gather(1, (lengths_B - 1).clamp_min(0)[:, None])[:, 0]
    ends_B = (first_C[classes_BW[:, 0]] + last_C[end_B]) * real_BW[:, 0]
    return own_B + steps_B + ends_B
