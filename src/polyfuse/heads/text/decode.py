"""How a text is written once a decoder says what may come next: greedy, beams, drawn; with what may never come.

Every decoder that goes step by step is written through this file. A row's text does not depend on its neighbours: rows
share no state, and draws come from a generator per row, by the seed and the row's number. Length-normalised beams: Wu
et al., Google's Neural Machine Translation System, 2016. top-p: Holtzman et al., ICLR 2020.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from polyfuse.records import Tokens

Cache = dict[str, Tensor]
"""What a decoder keeps between steps, rows first in every tensor."""
NEVER = float("-inf")


class Stepwise(Protocol):
    """A decoder that says what may come next, given what came before."""

    def begin(self, memory: Tokens) -> Cache:
        """What it keeps of the tokens that it writes about, before the first unit."""

    def step(self, ids_N: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """The last unit of every row -> logits of the next (N, V), and the cache with it."""


@dataclass(frozen=True)
class Decoding:
    """How texts are written.

    Args:
        beams: texts kept at every step; 1 is greedy.
        length_penalty: a beam's log-probability is divided by its length to this power: 0 favours short texts.
        sample: draw each unit from its probabilities instead of taking the likeliest.
        temperature: of these probabilities; below 1 the likely ones are drawn more often.
        top_k: draw among so many of the likeliest; 0 for all.
        top_p: draw among the fewest that hold this share of the probability.
        seed: of the draws.
        no_repeat: no run of so many units comes twice in a text; 0 for no such rule.
        min_length: units of a text at least.
        max_length: units of a text at most; that of the longest text of training by default.
        answers: the only texts that may be written; None for any.

    Raises:
        ValueError: an option out of bounds, or two that do not go together.
    """

    beams: int = 1
    length_penalty: float = 1.0
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    no_repeat: int = 0
    min_length: int = 0
    max_length: int | None = None
    answers: Sequence[str] | None = field(default=None)

    def __post_init__(self) -> None:
        for name, least in (("beams", 1), ("top_k", 0), ("seed", 0), ("no_repeat", 0), ("min_length", 0)):
            _bounded(name, getattr(self, name), int, least)
        if self.max_length is not None:
            _bounded("max_length", self.max_length, int, 1)
        _bounded("length_penalty", self.length_penalty, (int, float), 0)
        if not isinstance(self.sample, bool):
            raise ValueError(f"sample: expected true or false, found {self.sample!r}")
        for name, most in (("temperature", float("inf")), ("top_p", 1.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
                bounds = "a number above 0" if most > 1 else "a number above 0, up to 1"
                raise ValueError(f"{name}: expected {bounds}, found {value!r}")
        if self.sample and self.beams > 1:
            raise ValueError(f"sample: draws one text, and beams={self.beams} searches for the likeliest; choose one")
        drawn = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
        for name, usual in drawn.items():
            if not self.sample and getattr(self, name) != usual:
                raise ValueError(f"{name}: it says how units are drawn; set sample: true as well")
        if self.answers is not None and (isinstance(self.answers, str) or not self.answers):
            raise ValueError(f"answers: expected a list of texts, found {self.answers!r}")

    def changed(self, options: dict[str, Any]) -> Decoding:
        """The same with some options changed.

        Raises:
            ValueError: no such option, or out of bounds.
        """
        known = [f.name for f in fields(self)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else "."
                raise ValueError(f"no option {name!r}{hint} Known: {', '.join(known)}")
        return replace(self, **options)

    def said(self) -> dict[str, Any]:
        """How many beams, and whatever is not as usual, for a report."""
        usual = Decoding()
        own = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != getattr(usual, f.name)}
        return {"beams": self.beams, **own, **({"seed": self.seed} if self.sample else {})}


def _bounded(name: str, value: Any, kind: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, kind) or value < least:
        what = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name}: expected {what} from {least} on, found {value!r}")


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

    def trie(self) -> dict[tuple[int, ...], list[int]] | None:
        """Beginning of an answer -> what may come next."""
        if self.answers is None:
            return None
        found: dict[tuple[int, ...], set[int]] = {}
        for answer in self.answers:
            whole = (*answer, self.end)
            for at, unit in enumerate(whole):
                found.setdefault(whole[:at], set()).add(unit)
        return {start: sorted(units) for start, units in found.items()}


class _Allowed:
    """Log-probabilities of what may come next, given what was written."""

    def __init__(self, rules: Rules):
        self.rules, self.trie = rules, rules.trie()
        self.seen_twice = rules.no_repeat

    def __call__(self, logits_NV: Tensor, written_NT: Tensor) -> Tensor:
        """Logits, and what every row wrote so far -> log-probabilities, those of what may not come minus infinity."""
        logits_NV = logits_NV.float()
        at = written_NT.shape[1]
        forbidden_NV = torch.zeros_like(logits_NV, dtype=torch.bool)
        forbidden_NV[:, list(self.rules.banned)] = True
        if at < self.rules.least:
            forbidden_NV[:, self.rules.end] = True
        if self.trie is not None or self.seen_twice:
            rows = written_NT.tolist()
            if self.trie is not None:
                forbidden_NV |= self._outside(rows, logits_NV)
            if self.seen_twice:
                for n, row in enumerate(rows):
                    forbidden_NV[n, _repeating(row, self.seen_twice)] = True
        dead_N = forbidden_NV.all(-1)  # no unit is left that keeps to the rules: the text ends
        forbidden_NV[:, self.rules.end] &= ~dead_N
        # rules leave units out without raising the probability of others
        return logits_NV.log_softmax(-1).masked_fill(forbidden_NV, NEVER)

    def _outside(self, rows: list[list[int]], like_NV: Tensor) -> Tensor:
        """What leads out of the closed list; a row that ended may go on as it likes."""
        assert self.trie is not None
        outside_NV = torch.ones_like(like_NV, dtype=torch.bool)
        for n, row in enumerate(rows):
            outside_NV[n, self.trie.get(tuple(row), [self.rules.end])] = False
        return outside_NV


def _repeating(row: list[int], run: int) -> list[int]:
    """Units that would end a run of units that is there already."""
    if len(row) < run:
        return []
    last = row[len(row) - run + 1 :]
    return [row[at + run - 1] for at in range(len(row) - run + 1) if row[at : at + run - 1] == last]


@dataclass
class Written:
    """Texts of some rows.

    Args:
        ids: units of each, without the signs.
        scores: log-probability of each text, its end included.
        lengths: units that the log-probability is of.
    """

    ids: list[list[int]]
    scores: list[float]
    lengths: list[int]

    @property
    def confidence(self) -> np.ndarray:
        """Geometric mean of the probabilities of a text's units (rows,)."""
        return np.exp(np.array(self.scores) / np.maximum(self.lengths, 1))


def write(decoder: Stepwise, memory: Tokens, rules: Rules, how: Decoding, rows_B: Sequence[int] = ()) -> Written:
    """The text of every row.

    Args:
        memory: what it is about.
        rows_B: a number per row, by which its draws are seeded; counted from 0 by default.
    """
    if how.beams > 1:
        return beam_search(decoder, memory, rules, how)
    found = None
    for found in steps(decoder, memory, rules, how, rows_B):  # noqa: B007 - the last one is wanted
        pass
    return found if found is not None else Written([], [], [])


def steps(
    decoder: Stepwise, memory: Tokens, rules: Rules, how: Decoding, rows_B: Sequence[int] = ()
) -> Iterator[Written]:
    """What is written so far, after every step, until all rows are at their end; greedy or drawn."""
    count, device = memory.x_BTD.shape[0], memory.x_BTD.device
    if not count:
        return
    allowed, cache = _Allowed(rules), decoder.begin(memory)
    draws = _Draws(how, list(rows_B) or list(range(count)), rules.most) if how.sample else None
    last_N = torch.full((count,), rules.begin, device=device)
    written_NT = torch.zeros(count, 0, dtype=torch.long, device=device)
    score_N, going_N = torch.zeros(count, device=device), torch.ones(count, dtype=torch.bool, device=device)
    length_N = torch.zeros(count, dtype=torch.long, device=device)
    for at in range(rules.most):
        logits_NV, cache = decoder.step(last_N, cache)
        log_NV = allowed(logits_NV, written_NT)
        last_N = draws.drawn(log_NV, at) if draws else log_NV.argmax(-1)
        score_N = score_N + torch.where(going_N, log_NV.gather(1, last_N[:, None])[:, 0], 0.0)
        length_N = length_N + going_N
        going_N = going_N & (last_N != rules.end)
        last_N = torch.where(going_N, last_N, rules.end)
        written_NT = torch.cat([written_NT, last_N[:, None]], 1)
        if not going_N.any():
            break
        yield _written(written_NT, score_N, length_N, rules)
    yield _written(written_NT, score_N, length_N, rules)


def _written(written_NT: Tensor, score_N: Tensor, length_N: Tensor, rules: Rules) -> Written:
    ids = [row[: row.index(rules.end)] if rules.end in row else row for row in written_NT.tolist()]
    return Written(ids, score_N.tolist(), length_N.tolist())


class _Draws:
    """One number between 0 and 1 for every row and step, by the seed and the row's own number."""

    def __init__(self, how: Decoding, rows: list[int], most: int):
        self.how = how
        self.at_NT = np.stack([np.random.default_rng((how.seed, row)).random(most) for row in rows])

    def drawn(self, log_NV: Tensor, at: int) -> Tensor:
        """Units drawn from what is left of the probabilities (N,)."""
        sorted_NV, order_NV = (log_NV / self.how.temperature).sort(stable=True, dim=-1, descending=True)
        if self.how.top_k:
            sorted_NV[:, self.how.top_k :] = NEVER
        probability_NV = sorted_NV.softmax(-1).double()
        before_NV = probability_NV.cumsum(-1) - probability_NV
        probability_NV = probability_NV * (before_NV < self.how.top_p)
        upto_NV = probability_NV.cumsum(-1)
        point_N1 = torch.from_numpy(self.at_NT[:, at : at + 1]).to(log_NV.device) * upto_NV[:, -1:]
        place_N1 = (upto_NV <= point_N1).sum(-1, keepdim=True)
        most_N1 = (probability_NV > 0).sum(-1, keepdim=True) - 1
        return order_NV.gather(1, place_N1.minimum(most_N1))[:, 0]


def beam_search(decoder: Stepwise, memory: Tokens, rules: Rules, how: Decoding) -> Written:
    """The likeliest text of every row among those that its beams met; with enough beams the likeliest there is."""
    count, device, k = memory.x_BTD.shape[0], memory.x_BTD.device, how.beams
    if not count:
        return Written([], [], [])
    allowed = _Allowed(rules)
    cache = picked(decoder.begin(memory), torch.arange(count, device=device).repeat_interleave(k))
    last_N = torch.full((count * k,), rules.begin, device=device)
    written_NT = torch.zeros(count * k, 0, dtype=torch.long, device=device)
    score_BK = torch.full((count, k), NEVER, device=device)
    score_BK[:, 0] = 0  # all beams begin alike, so that one speaks for them
    best: list[tuple[float, float, list[int], int]] = [(NEVER, NEVER, [], 1) for _ in range(count)]
    going = list(range(count))
    for length in range(1, rules.most + 1):
        logits_NV, cache = decoder.step(last_N, cache)
        log_NV = allowed(logits_NV, written_NT)
        log_BKV = score_BK[..., None] + log_NV.view(count, k, -1)
        units = log_BKV.shape[-1]
        width = min(2 * k, k * units)
        top_BW, at_BW = log_BKV.flatten(1).topk(width)
        live, origin, unit_of = ([[fill] * k for _ in range(count)] for fill in (NEVER, 0, rules.end))
        values, places = top_BW.tolist(), at_BW.tolist()
        for b in going:
            filled = 0
            for rank, (value, place) in enumerate(zip(values[b], places[b], strict=True)):
                beam, unit = divmod(place, units)
                if value == NEVER or filled == k:
                    break
                if unit == rules.end:
                    if rank < k:
                        _keep(best, b, value, length, written_NT[b * k + beam], how)
                    continue
                live[b][filled], origin[b][filled], unit_of[b][filled] = value, beam, unit
                filled += 1
        rows_N = torch.tensor([b * k + beam for b in range(count) for beam in origin[b]], device=device)
        last_N = torch.tensor(unit_of, device=device).flatten()
        cache, score_BK = picked(cache, rows_N), torch.tensor(live, device=device)
        written_NT = torch.cat([written_NT[rows_N], last_N[:, None]], 1)
        going = [b for b in going if _may_rise(best[b][0], live[b][0], rules.most, how)]
        if not going:
            break
    for b in going:  # cut off at the greatest length
        for beam in range(k):
            _keep(best, b, float(score_BK[b, beam]), written_NT.shape[1], written_NT[b * k + beam], how)
    return Written([one[2] for one in best], [one[1] for one in best], [one[3] for one in best])


def _keep(best: list, b: int, score: float, length: int, written_T: Tensor, how: Decoding) -> None:
    """Remember a text that is whole, where it is the best of its row."""
    worth = score / length**how.length_penalty
    if worth > best[b][0]:
        best[b] = (worth, score, written_T.tolist(), length)


def _may_rise(best: float, live: float, most: int, how: Decoding) -> bool:
    """Whether a beam that goes on can still become better: its log-probability only falls, its length grows."""
    return live > NEVER and live / most**how.length_penalty > best


def picked(cache: Cache, rows_N: Tensor) -> Cache:
    """The cache of other rows."""
    return {name: value[rows_N] for name, value in cache.items()}
