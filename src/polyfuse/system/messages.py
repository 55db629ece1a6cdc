"""Notes through the logger ``polyfuse``, and progress bars."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

LOGGER = logging.getLogger("polyfuse")
PATIENCE = 1.0  # seconds that pass before a bar is shown

Item = TypeVar("Item")
_bars: ContextVar[bool] = ContextVar("polyfuse_bars", default=False)


def log_notes(notes: Iterable[str], verbose: bool = True) -> None:
    """Log notes as warnings, each once, which Python shows on standard error unless logging is set up otherwise.

    Args:
        verbose: nothing is logged without.
    """
    for note in dict.fromkeys(notes) if verbose else ():
        LOGGER.warning(note)


@contextmanager
def show_bars(shown: bool = True) -> Iterator[None]:
    """While this is open, ``progress`` shows bars; an open one is not closed by one inside it."""
    token = _bars.set(shown or _bars.get())
    try:
        yield
    finally:
        _bars.reset(token)


def progress(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """The items; once they take more than a second, with a bar on standard error of a terminal or notebook."""
    if not _bars.get() or total < 2:
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, refresh_per_second=2)
    bar.disable = not (console.is_terminal or console.is_jupyter)
    task = bar.add_task(what, total=total)
    begun, shown = time.monotonic(), False
    try:
        for item in items:
            if not shown and time.monotonic() - begun > PATIENCE:
                bar.start()
                shown = True
            yield item
            bar.advance(task)
    finally:
        if shown:
            bar.stop()
