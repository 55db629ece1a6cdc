"""Texts written without torch: the loop around a decoder's step graph, or what a CTC head says of every place.

The same rules, draws and beams as ``heads.text.decode``, in NumPy; that file says what they are and where they come
from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from polyfuse.data.cells.spelling import PAD, Speller
from polyfuse.runtime.paths import prefix_beam, written
from polyfuse.runtime.session import Graph

NEVER = -np.inf
CONTEXT = "context_"
Cache = dict[str, np.ndarray]
"""What a step takes, rows first; what is written about (``context_``) is the same for all beams of a row."""


class Writer:
    """What writes the texts of one output.

    Args:
        told: how, from the manifest: ``speller``, ``rules``, ``how``, and for steps ``empty``.
        step: the graph of one further unit; None where the joint graph says all places at once.
    """

    def __init__(self, told: Mapping[str, Any], step: Graph | None):
        self.speller, self.step, self.how = Speller.restored(told["speller"]), step, told["how"]
        self.empty: dict[str, list[int]] = told.get("empty", {})
        self.allowed = Allowed(told["rules"])

    def write(self, kept: Cache, first: int = 0) -> tuple[list[str], np.ndarray]:
        """The text of every row, and the geometric mean of the probabilities of its units.

        Args:
            first: number of the first row, by which draws are seeded.
        """
        texts = _Texts(0, self.allowed)
        for texts in self._grown(kept, first):  # noqa: B007 - the last one is wanted
            pass
        return [self.speller.text(ids) for ids in texts.ids()], texts.confidence

    def stream(self, kept: Cache) -> Iterator[str]:
        """The text of one row so far, after every further unit."""
        before: str | None = None
        for texts in self._grown(kept, 0):
            if before is not None:  # the first bytes of a character are none yet
                yield before.rstrip("\ufffd")
            before = self.speller.text(texts.ids()[0])
        if before is not None:
            yield before

    def _grown(self, kept: Cache, first: int) -> Iterator[_Texts]:
        if self.step is None:
            yield _along_time(kept["log"], kept["real"], self.allowed, self.how["beams"])
        elif self.how["beams"] > 1:
            yield self._searched(kept)
        else:
            yield from self._unit_by_unit(kept, first)

    def _opened(self, kept: Cache, times: int) -> Cache:
        """What the first step takes, each row so many times."""
        rows = len(next(iter(kept.values()))) * times
        opened = {n: np.repeat(a, times, 0) for n, a in kept.items()}
        return {**opened, **{n: np.zeros((rows, *shape), np.float32) for n, shape in self.empty.items()}}

    def _stepped(self, last_N: np.ndarray, cache: Cache) -> tuple[np.ndarray, Cache]:
        assert self.step is not None
        found = self.step({**cache, "ids": last_N})
        logits_NV = found.pop("logits")
        return logits_NV, {**cache, **found}

    def _unit_by_unit(self, kept: Cache, first: int) -> Iterator[_Texts]:
        """The same texts, longer after every step; greedy or drawn."""
        cache, allowed = self._opened(kept, 1), self.allowed
        count = len(next(iter(cache.values())))
        texts, going_N = _Texts(count, allowed), np.ones(count, bool)
        draws = _Draws(self.how, range(first, first + count), allowed.most) if self.how["sample"] else None
        last_N, places = np.full(count, allowed.begin), [allowed.start] * count
        for at in range(allowed.most):
            logits_NV, cache = self._stepped(last_N, cache)
            log_NV = allowed(logits_NV, texts.ids_BT[:, :at], places)
            last_N = draws.drawn(log_NV, at) if draws else log_NV.argmax(-1)
            texts.score_B += np.where(going_N, np.take_along_axis(log_NV, last_N[:, None], 1)[:, 0], 0.0)
            texts.length_B += going_N
            going_N &= last_N != allowed.end
            last_N = np.where(going_N, last_N, allowed.end)
            texts.ids_BT[:, at] = last_N
            yield texts
            if not going_N.any():
                return
            places = [allowed.after(place, int(unit)) for place, unit in zip(places, last_N, strict=True)]

    def _searched(self, kept: Cache) -> _Texts:
        """The likeliest text of every row among those that its beams met."""
        allowed, k = self.allowed, int(self.how["beams"])
        cache = self._opened(kept, k)
        count = len(next(iter(kept.values())))
        found = _Best(count, allowed, float(self.how["length_penalty"]))
        last_N, places = np.full(count * k, allowed.begin), [allowed.start] * (count * k)
        written_NT = np.zeros((count * k, 0), np.int64)
        score_BK = np.full((count, k), NEVER)
        score_BK[:, 0] = 0  # all beams begin alike, so that one speaks for them
        first_B1 = np.arange(count)[:, None] * k
        for length in range(1, allowed.most + 1):
            logits_NV, cache = self._stepped(last_N, cache)
            log_NV = allowed(logits_NV, written_NT, places) + score_BK.reshape(-1, 1)
            units = log_NV.shape[1]
            by_row = log_NV.reshape(count, -1)
            at_BW = np.argsort(-by_row, 1, kind="stable")[:, : min(2 * k, k * units)]
            value_BW = np.take_along_axis(by_row, at_BW, 1)
            beam_BW, unit_BW = at_BW // units, at_BW % units
            over_BW = unit_BW == allowed.end
            whole_BK = np.where(over_BW[:, :k], value_BW[:, :k], NEVER)
            found.keep(whole_BK, length, written_NT, first_B1 + beam_BW[:, :k])
            # of twice as many as there are beams enough go on, whatever ends
            on_BK = np.argsort(over_BW | (value_BW == NEVER), 1, kind="stable")[:, :k]
            score_BK = np.take_along_axis(np.where(over_BW, NEVER, value_BW), on_BK, 1)
            rows_N = (first_B1 + np.take_along_axis(beam_BW, on_BK, 1)).ravel()
            units_BK = np.take_along_axis(unit_BW, on_BK, 1)
            last_N = np.where(score_BK == NEVER, allowed.end, units_BK).ravel()
            if not found.may_rise(score_BK[:, 0]).any():
                return found.texts
            cache = {n: a if n.startswith(CONTEXT) else a[rows_N] for n, a in cache.items()}
            written_NT = np.concatenate([written_NT[rows_N], last_N[:, None]], 1)
            places = [allowed.after(places[at], int(unit)) for at, unit in zip(rows_N, last_N, strict=True)]
        found.keep(score_BK, allowed.most, written_NT, np.arange(count * k).reshape(-1, k))  # cut off
        return found.texts


class Allowed:
    """Log-probabilities of what may come next: ``heads.text.rules`` in NumPy.

    Args:
        rules: ``begin``, ``end``, ``banned``, ``most``, ``least``, ``no_repeat`` and ``answers``.
    """

    def __init__(self, rules: Mapping[str, Any]):
        self.begin, self.end, self.banned = int(rules["begin"]), int(rules["end"]), np.array(rules["banned"], int)
        self.most, self.least, self.run = int(rules["most"]), int(rules["least"]), int(rules["no_repeat"])
        self.answers: list[list[int]] | None = rules["answers"]
        self.start: tuple[int, ...] = ()
        self._after: dict[tuple[int, ...], set[int]] = {}
        for answer in self.answers or ():
            for at, unit in enumerate([*answer, self.end]):
                self._after.setdefault(tuple(answer[:at]), set()).add(unit)

    def after(self, place: tuple[int, ...], unit: int) -> tuple[int, ...]:
        """The beginning of an answer, one unit longer."""
        return (*place, unit) if self.answers is not None else place

    def __call__(self, logits_NV: np.ndarray, written_NT: np.ndarray, places: Sequence[tuple[int, ...]]) -> np.ndarray:
        """Log-probabilities (N, V), those of what may not come minus infinity."""
        away_NV = logits_NV.astype(np.float32) - logits_NV.max(-1, keepdims=True)
        log_NV = away_NV - np.log(np.exp(away_NV).sum(-1, keepdims=True))
        end_N = log_NV[:, self.end].copy()
        log_NV[:, self.banned] = NEVER
        if written_NT.shape[1] < self.least:
            log_NV[:, self.end] = NEVER
        for row, place in enumerate(places) if self.answers is not None else ():
            inside = np.zeros(log_NV.shape[1], bool)
            inside[list(self._after.get(place, {self.end}))] = True
            log_NV[row, ~inside] = NEVER
        for row, written_T in enumerate(written_NT) if self.run else ():
            log_NV[row, _repeating(written_T.tolist(), self.run)] = NEVER
        dead_N = log_NV.max(-1) == NEVER  # no unit is left that keeps to the rules: the text ends
        log_NV[:, self.end] = np.where(dead_N, end_N, log_NV[:, self.end])
        return log_NV


def _repeating(written: list[int], run: int) -> list[int]:
    """Units that would end a run of units that is there already."""
    last = written[len(written) - run + 1 :]
    starts = range(len(written) - run + 1)
    return [written[at + run - 1] for at in starts if written[at : at + run - 1] == last]


class _Texts:
    """Texts of all rows as they grow."""

    def __init__(self, count: int, allowed: Allowed):
        self.end = allowed.end
        self.ids_BT = np.full((count, allowed.most), allowed.end)
        self.score_B, self.length_B = np.zeros(count), np.zeros(count, np.int64)

    def ids(self) -> list[list[int]]:
        """Units of each text, without ends."""
        rows = self.ids_BT.tolist()
        return [row[: row.index(self.end)] if self.end in row else row for row in rows]

    @property
    def confidence(self) -> np.ndarray:
        """Geometric mean of the probabilities of a text's units (B,)."""
        return np.exp(self.score_B / np.maximum(self.length_B, 1))


class _Draws:
    """One number between 0 and 1 for every row and step, by the seed and the row's number."""

    def __init__(self, how: Mapping[str, Any], rows: Sequence[int], most: int):
        self.how = how
        self.at_BT = np.stack([np.random.default_rng((how["seed"], row)).random(most) for row in rows])

    def drawn(self, log_NV: np.ndarray, at: int) -> np.ndarray:
        """Units drawn from what is left of the probabilities (N,)."""
        scaled_NV = log_NV / np.float32(self.how["temperature"])
        sorts = self.how["top_k"] or self.how["top_p"] < 1
        order_NV = np.argsort(-scaled_NV, 1, kind="stable") if sorts else None
        if order_NV is not None:
            order_NV = order_NV[:, : self.how["top_k"] or None]
            scaled_NV = np.take_along_axis(scaled_NV, order_NV, 1)
        away_NV = np.exp(scaled_NV - scaled_NV.max(-1, keepdims=True))
        share_NV = away_NV / away_NV.sum(-1, keepdims=True)
        upto_NV = share_NV.cumsum(-1, dtype=np.float64)
        if self.how["top_p"] < 1:
            share_NV = share_NV * (upto_NV - share_NV < self.how["top_p"])
            upto_NV = share_NV.cumsum(-1, dtype=np.float64)
        point_N1 = np.minimum(self.at_BT[:, at, None] * upto_NV[:, -1:], np.nextafter(upto_NV[:, -1:], 0))
        unit_N1 = (upto_NV <= point_N1).sum(1, keepdims=True)
        return (unit_N1 if order_NV is None else np.take_along_axis(order_NV, unit_N1, 1))[:, 0]


class _Best:
    """The best whole text of every row that a search has met."""

    def __init__(self, count: int, allowed: Allowed, penalty: float):
        self.texts, self.most, self.penalty = _Texts(count, allowed), allowed.most, penalty
        self.texts.score_B += NEVER
        self.texts.length_B += 1
        self.worth_B = np.full(count, NEVER)

    def keep(self, score_BK: np.ndarray, length: int, written_NT: np.ndarray, at_BK: np.ndarray) -> None:
        """Remember texts where one is better than what there was; ``at_BK`` is where they stand."""
        worth_BK = score_BK / length**self.penalty
        which_B = worth_BK.argmax(1)
        for b in np.flatnonzero(worth_BK.max(1) > self.worth_B):
            which = which_B[b]
            self.worth_B[b], self.texts.score_B[b] = worth_BK[b, which], score_BK[b, which]
            self.texts.length_B[b] = length
            self.texts.ids_BT[b] = self.texts.end
            self.texts.ids_BT[b, : written_NT.shape[1]] = written_NT[at_BK[b, which]]

    def may_rise(self, live_B: np.ndarray) -> np.ndarray:
        """Whether a beam that goes on can still become better."""
        return live_B / self.most**self.penalty > self.worth_B


def _along_time(log_BTV: np.ndarray, real_B: np.ndarray, allowed: Allowed, beams: int) -> _Texts:
    """The text of every row by CTC: of the likeliest path, or of a beam of texts."""
    texts = _Texts(len(log_BTV), allowed)
    for b, (log_TV, real) in enumerate(zip(log_BTV, real_B, strict=True)):
        own_TV = log_TV[: int(real)].astype(np.float64)
        ids, score = prefix_beam(own_TV, beams, allowed.most) if beams > 1 else _greedy(own_TV, allowed.most)
        texts.ids_BT[b, : len(ids)] = ids
        texts.score_B[b], texts.length_B[b] = score, max(1, len(ids))
    return texts


def _greedy(log_TV: np.ndarray, most: int) -> tuple[list[int], float]:
    """Units of the likeliest path, and its log-probability."""
    if not len(log_TV):
        return [], 0.0
    units = np.array(written(log_TV.shape[1]))
    path = units[log_TV[:, units].argmax(-1)].tolist()
    ids = [unit for unit, before in zip(path, [PAD, *path], strict=False) if unit not in (PAD, before)]
    return ids[:most], float(log_TV[:, units].max(-1).sum())
