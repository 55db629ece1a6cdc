"""Losses of a decoder on reference texts: teacher forcing, label smoothing, scheduled sampling, rewards.

Label smoothing: Szegedy et al., CVPR 2016. Scheduled sampling: Bengio et al., NeurIPS 2015, in two passes over a whole
text as Mihaylova and Martins, ACL 2019, have it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLES = 5  # texts drawn per row, as Luo, 2020, has them
Forward = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""Ids that came before (N, T) -> logits of what comes next (N, T, V), and a further loss per row (N,) or None."""


@dataclass(frozen=True)
class Learning:
    """How references are learnt.

    Args:
        references: of several in a cell, ``draw`` one anew in every step, or learn ``all`` of them.
        label_smoothing: share of the target given to all units.
        scheduled_sampling: probability with which a unit that came before is the decoder's own instead of the true one.
        self_critical: share of the steps, the last ones, in which texts are drawn and learnt by their CIDEr-D instead
            (see ``heads.text.self_critical``); some 0.3, after which texts agree with more of the references. A draw
            and a judgement cost some times as much as teacher forcing.
        samples: texts drawn per row in these steps, each compared with the mean of the others.

    Raises:
        ValueError: out of bounds.
    """

    references: str = "draw"
    label_smoothing: float = 0.0
    scheduled_sampling: float = 0.0
    self_critical: float = 0.0
    samples: int = SAMPLES

    def __post_init__(self) -> None:
        if self.references not in ("draw", "all"):
            raise ValueError(f"references: expected draw or all, found {self.references!r}")
        for name in ("label_smoothing", "scheduled_sampling", "self_critical"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise ValueError(f"{name}: expected a share from 0 to below 1, found {value!r}")
        if isinstance(self.samples, bool) or not isinstance(self.samples, int) or self.samples < 2:
            raise ValueError(f"samples: expected a whole number from 2 on, found {self.samples!r}")
        if self.samples != SAMPLES and not self.self_critical:
            raise ValueError("samples: says how many texts are drawn in self-critical steps; set self_critical as well")

    @classmethod
    def of(cls, options: Mapping[str, Any] | None) -> Learning:
        """From options by name.

        Raises:
            ValueError: no such option.
        """
        known = [f.name for f in fields(cls)]
        for name in options or {}:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else "."
                raise ValueError(f"no option {name!r}{hint} Known: {', '.join(known)}")
        return cls(**(options or {}))


@dataclass(frozen=True)
class References:
    """Reference texts to learn, one per row.

    Shapes: ``ids_NT`` with padding behind the end, ``lengths_N``, ``whole_N``: whether the text ends there, ``row_N``:
    the row of the memory that each is of, for a decoder that ``packs``; None where each text has a row of its own.
    """

    ids_NT: Tensor
    lengths_N: Tensor
    whole_N: Tensor
    row_N: Tensor | None = None

    def shifted(self, begin: int, end: int, pad: int) -> tuple[Tensor, Tensor, Tensor]:
        """What comes before each unit, the unit, and where there is one: three times (N, T + 1)."""
        count, length = self.ids_NT.shape
        place_T = torch.arange(length + 1, device=self.ids_NT.device)
        next_NT = F.pad(self.ids_NT, (0, 1), value=pad)
        at_end_NT = place_T == self.lengths_N[:, None]
        next_NT = torch.where(at_end_NT, end, next_NT)
        before_NT = torch.cat([self.ids_NT.new_full((count, 1), begin), self.ids_NT], 1)
        there_NT = (place_T < self.lengths_N[:, None]) | (at_end_NT & self.whole_N[:, None])
        return before_NT, next_NT, there_NT


def log_probability(
    forward: Forward, texts: References, banned: Sequence[int], *, begin: int, end: int, pad: int
) -> Tensor:
    """Log-probability of every text (N,), its end included, among those without the banned units."""
    before_NT, next_NT, there_NT = texts.shifted(begin, end, pad)
    logits_NTV = mask_banned(forward(before_NT)[0], banned)
    next_NT = torch.where(there_NT, next_NT, end)  # what is not there may be banned
    log_NT = -F.cross_entropy(logits_NTV.transpose(1, 2), next_NT, reduction="none")
    return (log_NT * there_NT).sum(1)


def mask_banned(logits: Tensor, banned: Sequence[int]) -> Tensor:
    """Logits (..., V) in single precision, those of the banned units minus infinity."""
    at = torch.tensor(list(banned), dtype=torch.long, device=logits.device)
    return logits.float().index_fill(-1, at, float("-inf"))


def teacher_forced(
    forward: Forward, texts: References, how: Learning, *, begin: int, end: int, pad: int, training: bool
) -> Tensor:
    """Mean cross-entropy of the units of every text (N,), given the true ones before them.

    Args:
        training: smooth, and mix in the decoder's own units; the loss of validation is plain.
    """
    before_NT, next_NT, there_NT = texts.shifted(begin, end, pad)
    if training and how.scheduled_sampling:
        with torch.no_grad():
            own_NT = forward(before_NT)[0].argmax(-1)
        own_NT = torch.cat([before_NT[:, :1], own_NT[:, :-1]], 1)
        swap_NT = torch.rand(before_NT.shape, device=before_NT.device) < how.scheduled_sampling
        before_NT = torch.where(swap_NT & (before_NT != begin), own_NT, before_NT)
    logits_NTV, further_N = forward(before_NT)
    smoothing = how.label_smoothing if training else 0.0
    loss_NT = F.cross_entropy(logits_NTV.float().transpose(1, 2), next_NT, reduction="none", label_smoothing=smoothing)
    loss_N = mean_over_units(loss_NT, there_NT)
    return loss_N if further_N is None else loss_N + further_N


def mean_over_units(loss_NT: Tensor, there_NT: Tensor) -> Tensor:
    """Mean over the units that are there (N,); 0 where there are none."""
    return (loss_NT * there_NT).sum(1) / there_NT.sum(1).clamp_min(1)
