"""What the benchmark scripts share: the machine's name, runs of the command line, means with spread, result files."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- rows -->", "<!-- end of rows -->"
DATA = Path(os.environ.get("POLYFUSE_DATA", ROOT.parent / "shared" / "data"))


def machine() -> str:
    """Cores and memory, with the versions that matter."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB memory, no GPU, Python {platform.python_version()}, "
        f"torch {torch.__version__}, {date.today().isoformat()}"
    )


def polyfuse(*arguments: str) -> dict[str, Any]:
    """Run the command line with ``--json`` in a process of its own; its document, with wall seconds added."""
    started = time.monotonic()
    command = [sys.executable, "-c", "from polyfuse.cli import main; main()", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}\n{done.stderr[-3000:]}")
    return {**json.loads(done.stdout), "seconds": time.monotonic() - started}


def spread(values: Iterable[float], digits: int = 3) -> str:
    """``mean ± standard deviation (n)``."""
    values = list(values)
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation} (n = {len(values)})"


class NotMeasured(Exception):
    """A result that is not there, when nothing may be run."""


class Results:
    """Results of one topic by key, kept in a JSON file as they come, so that a stopped benchmark goes on.

    Args:
        fresh: forget what is there.
        kept: run nothing; a result that is not there raises ``NotMeasured``.
    """

    def __init__(self, topic: str, fresh: bool = False, kept: bool = False):
        self.kept = kept
        self.path = ROOT / "benchmarks" / f"{topic}.json"
        if fresh:
            self.path.unlink(missing_ok=True)
        self.values = self._read()

    def _read(self) -> dict[str, Any]:
        return json.loads(self.path.read_text(encoding="utf8")) if self.path.exists() else {}

    def get(self, key: str, make: Any) -> Any:
        """The result of that key, made and kept if it is new."""
        if key not in self.values:
            if self.kept:
                raise NotMeasured(key)
            print(f"{key} ...", file=sys.stderr, flush=True)
            made = make()
            self.values = {**self._read(), **self.values, key: made}  # another process may have added some
            self.path.write_text(json.dumps(self.values, indent=1, sort_keys=True) + "\n", encoding="utf8")
        return self.values[key]


def forget(path: Path, rows: Iterable[str]) -> None:
    """Drop what is kept of these rows, and of no other."""
    if path.exists():
        values = json.loads(path.read_text(encoding="utf8"))
        left = {key: value for key, value in values.items() if key.partition("/")[0] not in set(rows)}
        path.write_text(json.dumps(left, indent=1, sort_keys=True) + "\n", encoding="utf8")


def write_rows(path: Path, text: str, title: str) -> None:
    """Put a text between the marks of a page, which keeps the rest; at its end where it has no marks.

    Args:
        title: of a page that is not there yet.

    Raises:
        ValueError: one mark of the two, or both in the wrong order.
    """
    page = path.read_text(encoding="utf8") if path.exists() else title
    before, found, rest = page.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if bool(found) != bool(closed) or (not found and END in page):
        raise ValueError(f"{path}: expected {BEGIN} and behind it {END}, or neither; mend the page by hand")
    before = before if found else page.rstrip("\n") + "\n\n"
    half = path.with_suffix(".part")
    half.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after if found else chr(10)}", encoding="utf8")
    half.replace(path)
