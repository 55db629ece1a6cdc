"""A worker as the service sees it: started, asked, heard, ended. When it dies, all that it was asked fails at once."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

from polyfuse.runtime.servant import InputFacts, OutputFacts
from polyfuse.serve import frames

CODE = "from polyfuse.serve.worker import main; main()"
STARTING = 300.0  # seconds that a model may take to load


class WorkerGone(Exception):
    """The worker ended before it had answered."""


class WorkerFailed(ValueError):
    """The model cannot be served; says why."""


class Process:
    """One worker.

    Args:
        opening: what ``worker.main`` is to open.
    """

    def __init__(self, opening: Mapping[str, Any]):
        self._opening = {**opening, "path": list(sys.path)}
        self._child: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Queue[Any]] = {}
        self.gone, self.writing = asyncio.Event(), 0
        self.inputs: dict[str, InputFacts] = {}
        self.outputs: dict[str, OutputFacts] = {}

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return None if self._child is None else self._child.pid

    async def start(self) -> None:
        """Start it and wait until its model has answered once.

        Raises:
            WorkerFailed: it cannot.
        """
        pipe = asyncio.subprocess.PIPE
        self._child = await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", CODE, stdin=pipe, stdout=pipe)
        try:
            await self._send(self._opening)
            said = await asyncio.wait_for(frames.receive_async(self._stdout), STARTING)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            raise WorkerFailed("the worker ended, or took too long, while it loaded the model") from None
        if said[0] == "failed":
            raise WorkerFailed(said[1])
        _, self.inputs, self.outputs = said
        self._reading = asyncio.create_task(self._read())

    @property
    def _stdout(self) -> asyncio.StreamReader:
        assert self._child is not None
        assert self._child.stdout is not None
        return self._child.stdout

    @property
    def _stdin(self) -> asyncio.StreamWriter:
        assert self._child is not None
        assert self._child.stdin is not None
        return self._child.stdin

    def _post(self, message: Any) -> None:
        self._stdin.write(frames.packed(message))

    async def _send(self, message: Any) -> None:
        self._post(message)
        await self._stdin.drain()

    async def _read(self) -> None:
        try:
            while True:
                what, number, said = await frames.receive_async(self._stdout)
                if number in self._asked:
                    self._asked[number].put_nowait((what, said))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.gone.set()
            for waiting in self._asked.values():
                waiting.put_nowait(("gone", None))

    async def call(self, kind: str, *asked: Any) -> Any:
        """What it answers.

        Raises:
            WorkerGone: it ended.
        """
        number, heard = await self._ask(kind, asked)
        try:
            what, said = await heard.get()
        finally:
            del self._asked[number]
        if what == "gone":
            raise WorkerGone
        return said

    async def write(self, record: Mapping[str, Any], output: str) -> AsyncGenerator[str, None]:
        """The text of an output, piece by piece; who stops reading stops it.

        Raises:
            WorkerGone: it ended.
            Exception: what was wrong with the row.
        """
        number, heard = await self._ask("write", (record, output))
        what = "piece"
        self.writing += 1
        try:
            while True:
                what, said = await heard.get()
                if what == "gone":
                    raise WorkerGone
                if what == "done":
                    if isinstance(said, Exception):
                        raise said
                    return
                yield said
        finally:
            self.writing -= 1
            del self._asked[number]
            if what == "piece" and not self.gone.is_set():
                self._post(("cancel", number))

    async def _ask(self, kind: str, asked: tuple[Any, ...]) -> tuple[int, asyncio.Queue[Any]]:
        """The number of a question that was sent, and where its answers come."""
        if self.gone.is_set():
            raise WorkerGone
        number, heard = next(self._numbers), asyncio.Queue[Any]()
        self._asked[number] = heard
        try:
            await self._send((kind, number, *asked))
        except BaseException as error:
            del self._asked[number]
            if isinstance(error, ConnectionError):
                raise WorkerGone from None
            raise
        return number, heard

    def kill(self) -> None:
        """End it at once."""
        if self._child is not None and self._child.returncode is None:
            with suppress(ProcessLookupError):
                self._child.kill()

    async def close(self) -> None:
        """Let it end by itself, as it does when nobody speaks to it any more."""
        if self._child is None:
            return
        self._stdin.close()
        try:
            await asyncio.wait_for(self._child.wait(), 5)
        except TimeoutError:
            self.kill()
            await self._child.wait()
        if self._reading is not None:
            await self._reading
