"""Signals and locks of training: handle Ctrl-C and SIGTERM, restore the handlers, one training at a time.

Imports nothing of ours.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TRAINING = threading.RLock()


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM before there is a model to return; says what is kept."""


class SignalListener:
    """While entered, Ctrl-C and SIGTERM go to ``heard``; then they go where they went before.

    Handlers of the user's own are called first: a service that asks itself whether to stop must hear of it too. What
    the process ignores stays ignored. Outside of the main thread, where Python knows no signals, nothing happens.

    Args:
        heard: called with the signal's number; may raise.
    """

    def __init__(self, heard: Callable[[int], None]):
        self._heard = heard
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            found = {number: signal.getsignal(number) for number in SIGNALS}
            # None is a handler that was not set from Python, and could not be given back
            self._before = {n: old for n, old in found.items() if old not in (signal.SIG_IGN, None)}
            self.take_signals()
        return self

    def take_signals(self) -> None:
        """Install the handlers again, after a library has replaced them."""
        for number in self._before:
            signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        own = self._foreign(number)
        if own is not None:
            own(number, frame)
        self._heard(number)

    def _foreign(self, number: int) -> Any:
        """The user's own handler, where there is one."""
        old = self._before.get(number)
        if isinstance(old, SignalListener):
            return old._foreign(number)
        return old if callable(old) and old is not signal.default_int_handler else None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, old in self._before.items():
            signal.signal(number, old)
        self._before = {}


@contextmanager
def training_alone() -> Iterator[None]:
    """Around a training. As a decorator, around each call.

    Trainings of several threads take turns: they draw from torch's one generator, and side by side neither could be
    repeated. A polite kill raises ``Interrupted``, as Ctrl-C raises ``KeyboardInterrupt``, wherever nothing more
    careful listens.
    """
    with _TRAINING, SignalListener(_end):
        yield


def _end(number: int) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else Interrupted("by a polite kill (SIGTERM)")
