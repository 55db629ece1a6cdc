"""Lines about what happened, one JSON object each on standard error; never about what a request or answer held."""

from __future__ import annotations

import datetime
import json
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO


class Log:
    """Writes lines.

    Args:
        to: the stream, standard error by default.
        quiet: write nothing.
    """

    def __init__(self, to: TextIO | None = None, quiet: bool = False):
        self._to, self._quiet = to, quiet
        self._lines: list[str] = []

    def __call__(self, event: str, level: str = "info", *, later: bool = False, **facts: Any) -> None:
        """A line; ``facts`` are names of models, routes, numbers and kinds of errors.

        Args:
            later: write it with the next line or ``flush``: a system call for each request takes its time.
        """
        if self._quiet:
            return
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "level": level, "event": event, **{k: v for k, v in facts.items() if v is not None}}
        self._lines.append(json.dumps(line, ensure_ascii=True))
        if not later:
            self.flush()

    def flush(self) -> None:
        """Write what was put off."""
        lines, self._lines = self._lines, []
        if lines:
            print("\n".join(lines), file=self._to or sys.stderr, flush=True)


def report(error: BaseException, log: Log = Log()) -> None:
    """Where an error came from; its message may hold what a client sent, and is left out."""
    places = [f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)]
    log("failed", "error", error=type(error).__name__, at=places)
