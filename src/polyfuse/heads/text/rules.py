"""What may come next in a text: no unit that stands in none, no run twice, nothing outside a closed list of answers.

All of it is asked of many texts at once, as tensors, so that no row of a batch costs a loop of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NEVER = float("-inf")


@dataclass(frozen=True)
class Rules:
    """What a text must hold to, whoever writes it.

    Args:
        begin, end: ids of the signs.
        banned: ids that are never written.
        most: units of a text, its end not counted.
        least: units of a text.
        no_repeat: see ``Decoding``.
        answers: ids of the only texts that may be written; None for any.
    """

    begin: int
    end: int
    banned: tuple[int, ...] = ()
    most: int = 100
    least: int = 0
    no_repeat: int = 0
    answers: Sequence[Sequence[int]] | None = None


class Allowed:
    """Log-probabilities of what may come next, given what was written."""

    def __init__(self, rules: Rules, device: torch.device):
        self.rules, self.device = rules, device
        self.banned = torch.tensor(rules.banned, dtype=torch.long, device=device)
        self.trie = None if rules.answers is None else Trie(rules.answers, rules.end, device)

    def start(self, rows: int) -> Tensor:
        """Where rows stand in the list of answers before their first unit (N,)."""
        return torch.zeros(rows, dtype=torch.long, device=self.device)

    def after(self, place_N: Tensor, unit_N: Tensor) -> Tensor:
        """Where they stand after a further unit."""
        return place_N if self.trie is None else self.trie.after(place_N, unit_N)

    def __call__(self, logits_NV: Tensor, written_NT: Tensor, place_N: Tensor) -> Tensor:
        """Log-probabilities (N, V), those of what may not come minus infinity.

        Rules leave units out without raising the probability of others.
        """
        log_NV = logits_NV.float().log_softmax(-1)
        end_N = log_NV[:, self.rules.end].clone()
        log_NV.index_fill_(-1, self.banned, NEVER)
        early, run = written_NT.shape[1] < self.rules.least, self.rules.no_repeat
        if early:
            log_NV[:, self.rules.end] = NEVER
        if self.trie is not None:
            log_NV.masked_fill_(self.trie.outside(place_N, log_NV.shape[1]), NEVER)
        if run:
            log_NV[repeated_units(written_NT, run)] = NEVER
        if run or (early and (self.trie is not None or len(self.banned) + 1 >= log_NV.shape[1])):
            dead_N = log_NV.amax(-1) == NEVER  # no unit is left that keeps to the rules: the text ends
            log_NV[:, self.rules.end] = torch.where(dead_N, end_N, log_NV[:, self.rules.end])
        return log_NV


def repeated_units(written_NT: Tensor, run: int) -> tuple[Tensor, Tensor]:
    """Rows, and units that would end a run of units that is there already."""
    length = written_NT.shape[1]
    if length < run:
        nothing = written_NT.new_zeros(0)
        return nothing, nothing
    runs_NXR = written_NT.unfold(1, run, 1)
    last_NR = written_NT[:, length - run + 1 :]
    row_M, at_M = (runs_NXR[..., :-1] == last_NR[:, None]).all(-1).nonzero(as_tuple=True)
    return row_M, runs_NXR[row_M, at_M, -1]


class Trie:
    """Beginnings of answers, and what may come next; the last one stands for a text at its end.

    Args:
        answers: ids of each text.
        end: id that ends one.
    """

    def __init__(self, answers: Sequence[Sequence[int]], end: int, device: torch.device):
        number: dict[tuple[int, ...], int] = {(): 0}
        edges: set[tuple[int, int, int]] = set()
        whole: set[int] = set()
        for answer in answers:
            for at, unit in enumerate(answer):
                before, after = number[tuple(answer[:at])], tuple(answer[: at + 1])
                edges.add((before, unit, number.setdefault(after, len(number))))
            whole.add(number[tuple(answer)])
        self.done = len(number)
        edges |= {(place, end, self.done) for place in {*whole, self.done}}
        place_E, self.unit_E, self.next_E = torch.tensor(sorted(edges), device=device).T.contiguous()
        self.base = int(self.unit_E.max()) + 1
        self.key_E = place_E * self.base + self.unit_E
        self.start_P = torch.searchsorted(place_E, torch.arange(self.done + 2, device=device))

    def outside(self, place_N: Tensor, units: int) -> Tensor:
        """What leads out of the list (N, V)."""
        count_N = self.start_P[place_N + 1] - self.start_P[place_N]
        row_M = torch.arange(len(place_N), device=place_N.device).repeat_interleave(count_N)
        first_N = count_N.cumsum(0) - count_N
        at_M = torch.arange(len(row_M), device=row_M.device) + (self.start_P[place_N] - first_N)[row_M]
        outside_NV = torch.ones(len(place_N), units, dtype=torch.bool, device=place_N.device)
        outside_NV[row_M, self.unit_E[at_M]] = False
        return outside_NV

    def after(self, place_N: Tensor, unit_N: Tensor) -> Tensor:
        """Where rows stand after a unit; at their end where it leads out of the list."""
        wanted_N = place_N * self.base + unit_N.clamp_max(self.base)
        at_N = torch.searchsorted(self.key_E, wanted_N).clamp_max(len(self.key_E) - 1)
        found_N = (self.key_E[at_N] == wanted_N) & (unit_N < self.base)
        return torch.where(found_N, self.next_E[at_N], self.done)
