"""The process that holds one model and computes, one thing at a time; the service talks to it over standard streams.

It ends when its input ends, so that none outlives its service. Between the pieces of texts that it writes it answers
other rows. What a row could not be read for is found out row by row, so that none pays for its neighbour.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from polyfuse.data.cells import picture, sound
from polyfuse.data.cells.source import BadCell, Limits, repair_surrogates
from polyfuse.explain.contribution import contributions
from polyfuse.runtime.servant import Record, Servant
from polyfuse.serve import frames
from polyfuse.serve.logs import report
from polyfuse.serve.models import open_servant
from polyfuse.serve.problems import Refused


class Bench:
    """What one worker does with its model.

    Args:
        limits: of cells that are read a second time, to find out which one is broken.
    """

    def __init__(self, servant: Servant, limits: Limits):
        self.servant, self.limits = servant, limits
        self.kinds = {c: kind for facts in servant.inputs.values() for c, kind in facts.kinds.items()}

    def answer(self, kind: str, argument: Any, records: Sequence[Record]) -> list[Any]:
        """Per row what was asked, or the ``Exception`` that stands in its place."""
        work = getattr(self, kind)
        try:
            return work(records, argument)
        except Exception as error:
            if len(records) == 1:
                return [_harmless(error)]
            return [found for record in records for found in self.answer(kind, argument, [record])]

    def probe(self, records: Sequence[Record], argument: Any) -> list[Any]:  # noqa: ARG002
        """A forward pass of a row of nothing, through every encoder."""
        if self.servant.outputs:
            self.servant.predict(records)
        else:
            self.servant.embed(records, input=next(iter(self.servant.inputs)))
        return [True] * len(records)

    def predict(self, records: Sequence[Record], without: Any) -> list[Any]:
        """Output -> answer per row."""
        answers, notes = self.servant.predict(records, without=without)
        found: list[Any] = list(answers)
        if notes:
            for n, record in enumerate(records):
                found[n] = self._broken(record, notes) or found[n]
        return found

    def embed(self, records: Sequence[Record], input: Any) -> list[Any]:
        """A vector (D,) per row."""
        vectors_ND = self.servant.embed(records, input=input)
        found: list[Any] = list(vectors_ND)
        for n, record in enumerate(records):
            nothing = bool(np.isnan(vectors_ND[n]).any())
            if nothing or input is None:
                found[n] = self._broken(record, None) or found[n]
            if nothing and not isinstance(found[n], Exception):
                found[n] = Refused("the row has nothing to embed")
        return found

    def explain(self, records: Sequence[Record], output: Any) -> list[Any]:
        """Output -> what each input contributed to its answer, per row; all outputs that have scores, or one."""
        found: list[Any] = contributions(self.servant, records, output=output)
        for n, record in enumerate(records):
            found[n] = self._broken(record, None) or found[n]
        return found

    def write(self, record: Record, output: str) -> Iterator[str]:
        """The text of an output, piece by piece.

        Raises:
            Refused: a cell cannot be read.
        """
        if broken := self._broken(record, None):
            raise broken
        return self.servant.stream(record, output)

    def _broken(self, record: Record, notes: Sequence[str] | None) -> Refused | None:
        """The first cell of a row that cannot be read.

        Args:
            notes: what was said of a batch with this row; only the columns that it names are looked at. None for all.
        """
        for column, cell in record.items():
            kind = self.kinds.get(column, "text")
            if notes is not None and not any(repr(column) in note for note in notes):
                continue
            if reason := self._reason(cell, kind):
                return Refused(reason, column)
            if kind in ("vector", "video") and notes is not None:  # only the model itself knows
                alone = [note for note in self.servant.predict([record])[1] if repr(column) in note]
                if alone:
                    return Refused(alone[0], column)
        return None

    def _reason(self, cell: Any, kind: str) -> str | None:
        """Why a picture or sound cannot be read to its end."""
        cells = cell if isinstance(cell, list) else [cell]
        try:
            for content in cells if kind in ("image", "audio") else ():
                if kind == "image":
                    picture.decode(content, self.limits)
                else:
                    with sound.open_sound(content, self.limits) as opened:
                        opened.read(0, round(opened.seconds * opened.rate))
        except BadCell as error:
            return repair_surrogates(str(error))
        return None


def _harmless(error: Exception) -> Exception:
    """What may be said to the client of a single row: a reason that was meant for people; else only that it failed."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, ValueError):
        return Refused(repair_surrogates(str(error))[:500])
    report(error)
    return RuntimeError(type(error).__name__)


class Loop:
    """Takes what is asked, in order, and goes on with texts in between.

    Args:
        bench: what computes.
        given, said: the streams.
    """

    def __init__(self, bench: Bench, given: BinaryIO, said: BinaryIO):
        self._bench, self._said = bench, said
        self._asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._texts: dict[int, Iterator[str]] = {}
        threading.Thread(target=self._listen, args=(given,), daemon=True).start()

    def _listen(self, given: BinaryIO) -> None:
        try:
            while True:
                self._asked.put(frames.receive(given))
        except (EOFError, OSError):
            self._asked.put(None)

    def run(self) -> None:
        """Until the service is gone."""
        while True:
            try:
                message = self._asked.get(block=not self._texts)
            except queue.Empty:
                message = ()
            if message is None:
                return
            if message:
                self._do(*message)
            for number in list(self._texts):
                self._go_on(number)

    def _do(self, what: str, number: int, *asked: Any) -> None:
        if what == "cancel":
            self._texts.pop(number, None)
        elif what == "write":
            self._tell(number, self._begin, *asked)
        else:
            frames.send(self._said, ("done", number, self._bench.answer(what, *asked)))

    def _begin(self, number: int, record: Record, output: str) -> None:
        self._texts[number] = self._bench.write(record, output)

    def _go_on(self, number: int) -> None:
        self._tell(number, self._piece)

    def _piece(self, number: int) -> None:
        piece = next(self._texts[number], None)
        if piece is None:
            del self._texts[number]
            frames.send(self._said, ("done", number, None))
        else:
            frames.send(self._said, ("piece", number, piece))

    def _tell(self, number: int, step: Any, *asked: Any) -> None:
        """Do a step of a text; what goes wrong is said in its place."""
        try:
            step(number, *asked)
        except Exception as error:
            self._texts.pop(number, None)
            frames.send(self._said, ("done", number, _harmless(error)))


def main() -> None:
    """What the process of a worker does, once a service has started it."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the service says when to end
        signal.signal(number, signal.SIG_IGN)
    said = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not fall among the answers
    given = sys.stdin.buffer
    try:
        opening = frames.receive(given)
        sys.path += [place for place in opening.pop("path") if place not in sys.path]
        limits = opening.pop("limits")
        bench = Bench(open_servant(**opening), limits)
        bench.probe([{}], None)
    except Exception as error:
        report(error)
        frames.send(said, ("failed", str(error) or type(error).__name__))
        return
    frames.send(said, ("up", dict(bench.servant.inputs), dict(bench.servant.outputs)))
    try:
        Loop(bench, given, said).run()
    except BrokenPipeError:
        return
