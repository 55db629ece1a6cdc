"""Text generation from a decoder's logits: greedy search, beam search and sampling, under constraints.

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

from polyfuse.heads.text.rules import NEVER, Allowed, Rules
from polyfuse.records import Tokens

Cache = dict[str, Any]
"""What a decoder keeps between steps: tensors, rows first, and numbers that hold for all rows.

Tensors whose names begin with ``context_`` are of a row of what is written about, however many beams write about it: a
step that is given k times as many rows has those of the first k rows about the first one, and so on.
"""
CONTEXT = "context_"


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
            _check_bounds(name, getattr(self, name), int, least)
        if self.max_length is not None:
            _check_bounds("max_length", self.max_length, int, 1)
        _check_bounds("length_penalty", self.length_penalty, (int, float), 0)
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


def _check_bounds(name: str, value: Any, kind: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, kind) or value < least:
        what = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name}: expected {what} from {least} on, found {value!r}")


@dataclass
class GeneratedTexts:
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


def generate(
    decoder: Stepwise, memory: Tokens, rules: Rules, how: Decoding, rows_B: Sequence[int] = ()
) -> GeneratedTexts:
    """The text of every row.

    Args:
        memory: what it is about.
        rows_B: a number per row, by which its draws are seeded; counted from 0 by default.
    """
    if how.beams > 1:
        return beam_search(decoder, memory, rules, how)
    texts = None
    for texts in _generate_units(decoder, memory, rules, how, rows_B):  # noqa: B007 - the last one is wanted
        pass
    return texts.written() if texts is not None else GeneratedTexts([], [], [])


def generate_steps(
    decoder: Stepwise, memory: Tokens, rules: Rules, how: Decoding, rows_B: Sequence[int] = ()
) -> Iterator[GeneratedTexts]:
    """What is written so far, after every step, until all rows are at their end; greedy or drawn."""
    for texts in _generate_units(decoder, memory, rules, how, rows_B):
        yield texts.written()


class _Texts:
    """Texts of all rows as they grow.

    Args:
        count: B.
        rules: of their greatest length and their end.
    """

    def __init__(self, count: int, rules: Rules, device: torch.device):
        self.end = rules.end
        self.ids_BT = torch.full((count, rules.most), rules.end, device=device)
        self.score_B = torch.zeros(count, device=device)
        self.length_B = torch.zeros(count, dtype=torch.long, device=device)

    def written(self) -> GeneratedTexts:
        """What there is, without ends."""
        rows = self.ids_BT.tolist()
        ids = [row[: row.index(self.end)] if self.end in row else row for row in rows]
        return GeneratedTexts(ids, self.score_B.tolist(), self.length_B.tolist())


def _generate_units(
    decoder: Stepwise, memory: Tokens, rules: Rules, how: Decoding, rows_B: Sequence[int]
) -> Iterator[_Texts]:
    """The same texts, longer after every step. Rows that are at their end leave, once they are half of those there."""
    count, device = memory.x_BTD.shape[0], memory.x_BTD.device
    if not count:
        return
    allowed, cache = Allowed(rules, device), decoder.begin(memory)
    draws = _Sampler(how, list(rows_B) or list(range(count)), rules.most, device) if how.sample else None
    texts, row_N = _Texts(count, rules, device), torch.arange(count, device=device)
    going_N = torch.ones(count, dtype=torch.bool, device=device)
    last_N, place_N = torch.full((count,), rules.begin, device=device), allowed.start(count)
    for at in range(rules.most):
        logits_NV, cache = decoder.step(last_N, cache)
        log_NV = allowed(logits_NV, texts.ids_BT[row_N, :at], place_N)
        value_N, last_N = draws.drawn(log_NV, row_N, at) if draws else log_NV.max(-1)
        texts.score_B[row_N] += torch.where(going_N, value_N, 0.0)
        texts.length_B[row_N] += going_N
        going_N = going_N & (last_N != rules.end)
        last_N = torch.where(going_N, last_N, rules.end)
        texts.ids_BT[row_N, at] = last_N
        yield texts
        left = int(going_N.sum())
        if not left:
            return
        place_N = allowed.after(place_N, last_N)
        if 2 * left <= len(row_N):
            kept_n = going_N.nonzero()[:, 0]
            cache, row_N, last_N, place_N = (
                select_cache_rows(cache, kept_n, kept_n),
                row_N[kept_n],
                last_N[kept_n],
                place_N[kept_n],
            )
            going_N = going_N[kept_n]


class _Sampler:
    """One number between 0 and 1 for every row and step, by the seed and the row's own number."""

    def __init__(self, how: Decoding, rows: list[int], most: int, device: torch.device):
        self.how = how
        drawn = np.stack([np.random.default_rng((how.seed, row)).random(most) for row in rows])
        self.at_BT = torch.from_numpy(drawn).to(device)

    def drawn(self, log_NV: Tensor, row_N: Tensor, at: int) -> tuple[Tensor, Tensor]:
        """Units drawn from what is left of the probabilities (N,): their log-probabilities, and they."""
        scaled_NV, order_NV = log_NV / self.how.temperature, None
        if self.how.top_k:
            scaled_NV, order_NV = scaled_NV.topk(min(self.how.top_k, scaled_NV.shape[1]))
        elif self.how.top_p < 1:
            scaled_NV, order_NV = scaled_NV.sort(stable=True, dim=-1, descending=True)
        probability_NV = scaled_NV.softmax(-1)
        upto_NV = probability_NV.cumsum(-1, dtype=torch.float64)
        if self.how.top_p < 1:
            probability_NV = probability_NV * (upto_NV - probability_NV < self.how.top_p)
            upto_NV = probability_NV.cumsum(-1, dtype=torch.float64)
        whole_N1 = upto_NV[:, -1:]
        point_N1 = (self.at_BT[row_N, at, None] * whole_N1).minimum(whole_N1.nextafter(torch.zeros_like(whole_N1)))
        unit_N1 = torch.searchsorted(upto_NV, point_N1, right=True)
        unit_N1 = unit_N1 if order_NV is None else order_NV.gather(1, unit_N1)
        return log_NV.gather(1, unit_N1)[:, 0], unit_N1[:, 0]


def beam_search(decoder: Stepwise, memory: Tokens, rules: Rules, how: Decoding) -> GeneratedTexts:
    """The likeliest text of every row among those that its beams met; with enough beams the likeliest there is."""
    count, device, k = memory.x_BTD.shape[0], memory.x_BTD.device, how.beams
    if not count:
        return GeneratedTexts([], [], [])
    allowed, found = Allowed(rules, device), _Best(count, rules, how, device)
    cache = select_cache_rows(decoder.begin(memory), torch.arange(count, device=device).repeat_interleave(k))
    last_N, place_N = torch.full((count * k,), rules.begin, device=device), allowed.start(count * k)
    written_NT = torch.zeros(count * k, 0, dtype=torch.long, device=device)
    score_BK = torch.full((count, k), NEVER, device=device)
    score_BK[:, 0] = 0  # all beams begin alike, so that one speaks for them
    row_B = torch.arange(count, device=device)
    for length in range(1, rules.most + 1):
        logits_NV, cache = decoder.step(last_N, cache)
        log_NV = allowed(logits_NV, written_NT, place_N).add_(score_BK.view(-1, 1))
        units = log_NV.shape[1]
        value_BW, at_BW = log_NV.view(len(row_B), -1).topk(min(2 * k, k * units))
        beam_BW, unit_BW = at_BW // units, at_BW % units
        over_BW = unit_BW == rules.end
        first_B1 = torch.arange(len(row_B), device=device)[:, None] * k
        whole_BK = value_BW[:, :k].masked_fill(~over_BW[:, :k], NEVER)
        found.keep(row_B, whole_BK, length, written_NT, first_B1 + beam_BW[:, :k])
        # of twice as many as there are beams enough go on, whatever ends
        on_BK = (over_BW | (value_BW == NEVER)).byte().argsort(dim=1, stable=True)[:, :k]
        score_BK = value_BW.masked_fill(over_BW, NEVER).gather(1, on_BK)
        rows_N = (first_B1 + beam_BW.gather(1, on_BK)).flatten()
        last_N = torch.where(score_BK == NEVER, rules.end, unit_BW.gather(1, on_BK)).flatten()
        going_B = found.may_rise(row_B, score_BK[:, 0])
        left = int(going_B.sum())
        if not left:
            break
        kept_b = None
        if 2 * left <= len(row_B):
            kept_b, stays_N = going_B.nonzero()[:, 0], going_B.repeat_interleave(k)
            row_B, score_BK, rows_N, last_N = row_B[kept_b], score_BK[kept_b], rows_N[stays_N], last_N[stays_N]
        cache = select_cache_rows(cache, rows_N, kept_b)
        written_NT = torch.cat([written_NT[rows_N], last_N[:, None]], 1)
        place_N = allowed.after(place_N[rows_N], last_N)
    else:  # cut off at the greatest length
        at_BK = torch.arange(len(written_NT), device=device).view(-1, k)
        found.keep(row_B, score_BK, rules.most, written_NT, at_BK)
    return found.texts.written()


class _Best:
    """The best whole text of every row that a search has met."""

    def __init__(self, count: int, rules: Rules, how: Decoding, device: torch.device):
        self.texts, self.most, self.penalty = _Texts(count, rules, device), rules.most, how.length_penalty
        self.texts.score_B += NEVER
        self.texts.length_B += 1
        self.worth_B = torch.full((count,), NEVER, device=device)

    def keep(self, row_b: Tensor, score_bK: Tensor, length: int, written_NT: Tensor, at_bK: Tensor) -> None:
        """Remember texts of some rows where one is better than what there was.

        Args:
            score_bK: their log-probabilities, minus infinity where there is none.
            length: units, their end among them.
            at_bK: where in ``written_NT`` they stand.
        """
        worth_b, which_b = (score_bK / length**self.penalty).max(1)
        better_b = worth_b > self.worth_B[row_b]
        row_m, which_m1 = row_b[better_b], which_b[better_b, None]
        self.worth_B[row_m] = worth_b[better_b]
        self.texts.score_B[row_m] = score_bK[better_b].gather(1, which_m1)[:, 0]
        self.texts.length_B[row_m] = length
        self.texts.ids_BT[row_m] = self.texts.end
        self.texts.ids_BT[row_m, : written_NT.shape[1]] = written_NT[at_bK[better_b].gather(1, which_m1)[:, 0]]

    def may_rise(self, row_b: Tensor, live_b: Tensor) -> Tensor:
        """Whether a beam that goes on can still become better: its log-probability only falls, its length grows."""
        return live_b / self.most**self.penalty > self.worth_B[row_b]


def select_cache_rows(cache: Cache, rows_N: Tensor, context_B: Tensor | None = None) -> Cache:
    """The cache of other rows.

    Args:
        context_B: which rows of what is written about are left, in their order; None for all.
    """

    def of(name: str, value: Any) -> Any:
        rows = context_B if name.startswith(CONTEXT) else rows_N
        return value[rows] if isinstance(value, Tensor) and rows is not None else value

    return {name: of(name, value) for name, value in cache.items()}
