"""One model of a service: its queue, its workers, and who waits for what. Workers that die are started again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from polyfuse.runtime.servant import InputFacts, OutputFacts
from polyfuse.serve.intake import Fetch, Intake, Row, Size
from polyfuse.serve.logs import Log
from polyfuse.serve.metrics import Metrics
from polyfuse.serve.problems import Problem, Refused, unreadable
from polyfuse.serve.process import Process, WorkerFailed, WorkerGone
from polyfuse.serve.queueing import Queue, Task, Ticket
from polyfuse.serve.settings import Settings

FRESH = 5.0  # seconds for which a forward pass shows that a model is ready
PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # before a worker is started again, by how often it failed in a row
WRITING = 8  # texts that a worker writes at once
PROBE = Row({}, Size())
ENDED = "the worker ended before it had answered; it is started again"


class Desk:
    """A model that clients can ask by its name.

    Args:
        name: of the model.
        folder: where it lies.
        settings, metrics, log: of the service.
        fetch: how addresses are read; None where they are not.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        settings: Settings,
        metrics: Metrics,
        log: Log,
        fetch: Fetch | None = None,
    ):
        self.name, self.folder, self.settings = name, folder, settings
        self._metrics, self._log, self._fetch = metrics, log, fetch
        self.queue = Queue(settings.queue, settings.batch, metrics.dropped.labels(name).inc)
        self.intake: Intake | None = None
        self.inputs: dict[str, InputFacts] = {}
        self.outputs: dict[str, OutputFacts] = {}
        self.failure: str | None = None
        self.ever = False  # whether it was up at any time
        self._up: list[Process] = []
        self._all: set[Process] = set()
        self._more = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._writers, self._writing = asyncio.Semaphore(WRITING * settings.workers), 0
        self._forward = 0.0
        self.settled = asyncio.Event()  # up, or failed to come up for the first time
        metrics.ready.labels(name).set(0)
        metrics.waiting.labels(name).set_function(lambda: len(self.queue) + self._writing)

    @property
    def up(self) -> bool:
        """Whether a worker is there to answer."""
        return bool(self._up)

    @property
    def full(self) -> bool:
        """Whether not even one row more may wait."""
        if len(self.queue) + self._writing < self.settings.queue:
            return False
        self.queue.sweep()
        return len(self.queue) + self._writing >= self.settings.queue

    @property
    def pids(self) -> list[int]:
        """The processes of its workers."""
        return [process.pid for process in self._up if process.pid is not None]

    def open(self) -> None:
        """Start its workers, without waiting for them."""
        self._keepers = [asyncio.create_task(self._keep()) for _ in range(self.settings.workers)]

    async def close(self) -> None:
        """End its workers, once what they compute is done or refused."""
        self.queue.refuse(Problem(503, "the service shuts down"))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(process.close() for process in list(self._all)))

    async def _keep(self) -> None:
        """A worker, and another one whenever it ends."""
        failed = 0
        while True:
            await asyncio.sleep(PAUSES[min(failed, len(PAUSES) - 1)])
            settings = self.settings
            opening = {"folder": str(self.folder), "name": self.name, "device": settings.device}
            process = Process({**opening, "trust": settings.trust, "limits": settings.cells})
            self._all.add(process)
            began = time.monotonic()
            try:
                await process.start()
                failed = 0
                self._came_up(process, time.monotonic() - began)
                await self._work(process)
            except (WorkerFailed, OSError) as error:
                failed += 1
                self.failure = str(error)
                self._log("model_failed", "error", model=self.name, reason=self.failure)
                self.settled.set()
            finally:
                if process in self._up:
                    self._up.remove(process)
                self._metrics.ready.labels(self.name).set(len(self._up) > 0)
            self._all.discard(process)
            await process.close()
            self._metrics.restarts.labels(self.name).inc()
            self._log("worker_gone", "error", model=self.name)

    def _came_up(self, process: Process, seconds: float) -> None:
        self.inputs, self.outputs, self.failure, self.ever = process.inputs, process.outputs, None, True
        self.intake = Intake(self.inputs, self.outputs, self.settings, self._fetch)
        self._forward = time.monotonic()
        self._up.append(process)
        self._metrics.ready.labels(self.name).set(1)
        self._log("worker_up", model=self.name, seconds=round(seconds, 3))
        self.settled.set()

    async def _work(self, process: Process) -> None:
        """Give a worker what waits, a batch at a time, until it is gone."""
        gone = asyncio.create_task(process.gone.wait())
        try:
            while not gone.done():
                tickets = self.queue.take()
                if tickets:
                    await self._compute(process, tickets)
                    continue
                self._more.clear()
                more = asyncio.create_task(self._more.wait())
                await asyncio.wait((more, gone), return_when=asyncio.FIRST_COMPLETED)
                more.cancel()
        finally:
            gone.cancel()

    async def _compute(self, process: Process, tickets: list[Ticket]) -> None:
        task, began = tickets[0].task, time.monotonic()
        records = [ticket.row.record for ticket in tickets]
        try:
            call = process.call(task.kind, task.argument, records)
            found = await asyncio.wait_for(call, self.settings.stall)
        except WorkerGone:
            found = [Problem(503, ENDED, retry_after=1)] * len(tickets)
        except TimeoutError:
            process.kill()
            await process.gone.wait()
            found = [Problem(503, "the computation took too long and was ended", retry_after=1)] * len(tickets)
        else:
            seconds = time.monotonic() - began
            self._forward = time.monotonic()
            if task.kind != "probe":
                self.queue.left(len(tickets), seconds)
                self._metrics.batch.labels(self.name).observe(len(tickets))
                self._metrics.compute.labels(self.name).observe(seconds)
                self._metrics.rows.labels(self.name, task.kind).inc(len(tickets))
        for ticket, said in zip(tickets, found, strict=True):
            if ticket.answer.done():
                continue
            if isinstance(said, Exception):
                ticket.answer.set_exception(said)
            else:
                ticket.answer.set_result(said)

    def check(self) -> Intake:
        """What reads rows for this model.

        Raises:
            Problem: it is not up.
        """
        if self.intake is None or not self._up:
            why = f"cannot be loaded: {self.failure}" if self.failure else "is being started"
            raise Problem(503, f"model {self.name!r} {why}", retry_after=1)
        return self.intake

    async def ask(self, task: Task, rows: Sequence[Row], ends: float, fields: Sequence[str]) -> list[Any]:
        """What the model says of some rows, all of which must be answered.

        Args:
            ends: by the monotonic clock.
            fields: how messages call each row.

        Raises:
            Problem: no room, too late, a row that cannot be read, or no worker. Cancelled, nothing is computed.
        """
        self.check()
        loop = asyncio.get_running_loop()
        tickets = [Ticket(task, row, ends, loop.create_future()) for row in rows]
        self.queue.add(tickets, self._writing)
        self._more.set()
        try:
            async with asyncio.timeout(_left(ends)):
                await asyncio.wait([t.answer for t in tickets])
        except TimeoutError:
            raise Problem(504, "the deadline passed before the answer was there") from None
        finally:
            errors = [t.answer.exception() for t in tickets if t.answer.done() and not t.answer.cancelled()]
            for ticket in tickets:
                ticket.answer.cancel()
        for error, field in zip(errors, fields, strict=True):
            if error is not None:
                raise _problem(error, field)
        return [ticket.answer.result() for ticket in tickets]

    async def write(self, row: Row, output: str, ends: float, field: str) -> AsyncGenerator[str, None]:
        """The text of an output, piece by piece.

        Raises:
            Problem: as of ``ask``.
        """
        self.check()
        self.queue.add((), self._writing + 1)
        self._writing += 1
        pieces = None
        try:
            await asyncio.wait_for(self._writers.acquire(), _left(ends))
            try:
                self.check()
                pieces = min(self._up, key=lambda process: process.writing).write(row.record, output)
                # each step by itself: one who reads a text may do so from several tasks
                while (piece := await asyncio.wait_for(anext(pieces, None), _left(ends))) is not None:
                    yield piece
            finally:
                self._writers.release()
            self._metrics.rows.labels(self.name, "generate").inc()
        except TimeoutError:
            raise Problem(504, "the deadline passed before the text was written") from None
        except (Refused, RuntimeError, WorkerGone) as error:
            raise _problem(error, field) from None
        finally:
            self._writing -= 1
            if pieces is not None:
                await pieces.aclose()

    async def ready(self, seconds: float) -> bool:
        """Whether it answers: a forward pass was made a moment ago, or can be made now.

        Args:
            seconds: for which a pass is waited.
        """
        if not self._up:
            return False
        if time.monotonic() - self._forward < FRESH:
            return True
        loop = asyncio.get_running_loop()
        ticket = Ticket(Task("probe"), PROBE, time.monotonic() + seconds, loop.create_future())
        self.queue.add_first(ticket)
        self._more.set()
        try:
            return await asyncio.wait_for(ticket.answer, seconds) is True
        except Exception:  # whatever it is, it is not ready
            return False


def _left(ends: float) -> float:
    """Seconds until then, by the monotonic clock."""
    return max(0.0, ends - time.monotonic())


def _problem(error: BaseException, field: str) -> Exception:
    """What a client is told of what went wrong with its row."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Refused):
        return unreadable(f"{field}.{error.column}" if error.column else field, error.reason)
    if isinstance(error, WorkerGone):
        return Problem(503, ENDED, retry_after=1)
    return Problem(500, "the model failed on this row; its log says where", field)
