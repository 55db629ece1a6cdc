"""What waits for a model: rows, counted one by one, taken in batches of one kind when a worker is free. No timers."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from polyfuse.serve.intake import Row
from polyfuse.serve.problems import Problem

PIXELS, SECONDS, CHARACTERS = 1_000_000, 10.0, 1000  # that cost as much as a row itself
BUDGET = 2.0  # times the rows of a batch: what the rows of one may cost together
PATIENCE = 30  # seconds, the most that a refused client is told to wait


@dataclass(frozen=True)
class Task:
    """What is asked of a row; rows with one task can be computed together.

    Args:
        kind: ``predict``, ``embed``, ``explain`` or ``probe``.
        argument: hidden inputs, or the input that is embedded.
    """

    kind: str
    argument: Hashable = None


@dataclass(eq=False)
class Ticket:
    """A row that waits.

    Args:
        ends: by the monotonic clock; an answer after that is for nobody.
        answer: what becomes of it; done early where the client is gone.
    """

    task: Task
    row: Row
    ends: float
    answer: asyncio.Future[Any]
    began: float = field(default_factory=time.monotonic)

    @property
    def cost(self) -> float:
        """How much it takes, in rows without media."""
        size = self.row.size
        return 1 + size.pixels / PIXELS + size.seconds / SECONDS + size.characters / CHARACTERS

    @property
    def group(self) -> Hashable:
        """Rows of one group are alike in what is asked, which cells they have, and how long these are."""
        size = self.row.size
        lengths = (_bucket(size.characters / 128), _bucket(size.seconds))
        return self.task, frozenset(self.row.record), lengths


def _bucket(length: float) -> int:
    """Powers of two: padding at most doubles what is computed."""
    return max(0, math.ceil(math.log2(length))) if length > 1 else 0


class Queue:
    """Rows that wait for one model, the oldest first.

    Args:
        most: rows that may wait.
        batch: rows that are taken at once.
        dropped: told how many rows were dropped that nobody waits for any more.
    """

    def __init__(self, most: int, batch: int, dropped: Callable[[int], None] = lambda _: None):
        self.most, self.batch, self._dropped = most, batch, dropped
        self._waiting: deque[Ticket] = deque()
        self._rate = 0.0  # rows per second that leave, of late

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, tickets: Sequence[Ticket], held: int = 0) -> None:
        """Let all of them wait, or none.

        Args:
            held: what else counts, such as texts that wait to be written.

        Raises:
            Problem: there is no room.
        """
        self.sweep()
        if len(self) + held + len(tickets) > self.most:
            rows = f"{len(tickets)} rows" if len(tickets) > 1 else "one more row"
            raise Problem(429, f"{len(self) + held} rows wait, no room for {rows}", retry_after=self.wait())
        self._waiting.extend(tickets)

    def add_first(self, ticket: Ticket) -> None:
        """A row that goes before all others and is not counted: a probe."""
        self._waiting.appendleft(ticket)

    def wait(self) -> int:
        """Seconds until what waits now is likely gone."""
        return min(PATIENCE, max(1, math.ceil(len(self) / self._rate))) if self._rate else 1

    def sweep(self) -> None:
        """Drop what nobody waits for any more; those whose time is over are told."""
        now, kept = time.monotonic(), deque[Ticket]()
        for ticket in self._waiting:
            if ticket.answer.done():
                continue
            if ticket.ends <= now:
                ticket.answer.set_exception(Problem(504, "the deadline passed before the row was computed"))
            else:
                kept.append(ticket)
        self._dropped(len(self) - len(kept))
        self._waiting = kept

    def take(self) -> list[Ticket]:
        """The oldest row and those like it, as many as a batch may hold and cost; empty where nothing waits."""
        self.sweep()
        if not self._waiting:
            return []
        group, cost, taken = self._waiting[0].group, 0.0, list[Ticket]()
        for ticket in self._waiting:
            if ticket.group != group:
                continue
            if taken and (len(taken) == self.batch or cost + ticket.cost > BUDGET * self.batch):
                break
            taken.append(ticket)
            cost += ticket.cost
        gone = set(map(id, taken))
        self._waiting = deque(t for t in self._waiting if id(t) not in gone)
        return taken

    def left(self, rows: int, seconds: float) -> None:
        """Rows were computed in so many seconds: what ``wait`` reckons by."""
        rate = rows / max(seconds, 1e-3)
        self._rate = rate if not self._rate else 0.8 * self._rate + 0.2 * rate

    def refuse(self, problem: Problem) -> None:
        """Tell everybody who waits that there will be no answer."""
        for ticket in self._waiting:
            if not ticket.answer.done():
                ticket.answer.set_exception(problem)
        self._waiting.clear()
