"""A benchmark of many rows by name, such as ``defaults.py`` or ``alignment.py``: its command line, runs and page."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common import ROOT, Results, forget, write_rows
from defaults_run import Run, Section

MOST_SEEDS = 20  # the page shows all that are kept


@dataclass(frozen=True)
class Topic:
    """A benchmark whose measurements lie in ``NAME.json`` and whose page is ``NAME.md``.

    Args:
        said: what ``--help`` says of it.
        order: rows as the page has them.
        rows: row -> what makes it.
        page: sections and measurements -> the page's own part.
        on_request: rows that run only where they are named.
        capped: whether ``--rows-cap`` bounds the training rows of its tables.
        timed: whether encoding is part of what is timed, so that each run has a cache of its own.
    """

    name: str
    said: str | None
    order: Sequence[str]
    rows: Mapping[str, Callable[[Run], Section]]
    page: Callable[[list[Section], list[dict[str, Any]]], str]
    on_request: Collection[str] = ()
    capped: bool = False
    timed: bool = False

    def main(self, arguments: list[str] | None = None) -> int:
        """Measure what is asked for and write the page: the exit status."""
        asked = self._parsed(arguments)
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        to = asked.to or ROOT / "benchmarks"
        rows = asked.rows or [name for name in self.order if name not in self.on_request]
        if asked.fresh:
            forget(to / f"{self.name}.json", rows)
        with tempfile.TemporaryDirectory() as folder:
            work = asked.work or Path(folder)
            for needed in (to, work):
                needed.mkdir(parents=True, exist_ok=True)
            if self.timed:
                os.environ.setdefault("POLYFUSE_CACHE", str(work / "cache"))
            cap = asked.rows_cap if self.capped else None
            run = Run(Results(str(to / self.name)), work, 1 if asked.quick else asked.seeds, cap, asked.quick)
            failed = [] if asked.page else self._measure(rows, run)
            kept = replace(run, results=Results(str(to / self.name), kept=True), seeds=MOST_SEEDS)
            sections = [self.rows[name](kept) for name in self.order]
        measured = [one for key, one in kept.results.values.items() if key.partition("/")[0] in self.rows]
        write_rows(to / f"{self.name}.md", self.page(sections, measured), f"# {self.name.capitalize()}\n")
        if failed:
            print(f"failed: {', '.join(failed)}", file=sys.stderr)
        return 1 if failed else 0

    def _parsed(self, arguments: list[str] | None) -> argparse.Namespace:
        left = f"all but {', '.join(self.on_request)}" if self.on_request else "all"
        parser = argparse.ArgumentParser(description=self.said, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(self.order)}; {left} by default")
        parser.add_argument("--seeds", type=int, default=3, help="how many seeds, or groups held out")
        if self.capped:
            parser.add_argument(
                "--rows-cap", type=int, help="the most training rows; figures are kept apart from others"
            )
        parser.add_argument(
            "--quick", action="store_true", help="tiny tables, one epoch, one seed: only whether it runs"
        )
        parser.add_argument("--page", action="store_true", help="run nothing, write the page from what is there")
        parser.add_argument("--fresh", action="store_true", help="measure these rows again")
        parser.add_argument(
            "--to", type=Path, help=f"folder of {self.name}.json and {self.name}.md; this one by default"
        )
        parser.add_argument("--work", type=Path, help="folder of tables and models; a temporary one by default")
        found = parser.parse_args(arguments)
        if unknown := sorted(set(found.rows) - set(self.rows)):
            parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(self.order)}")
        if found.quick and found.to is None:
            parser.error("--quick makes figures that mean nothing: say with --to which folder may have them")
        if found.seeds < 1:
            parser.error(f"--seeds {found.seeds}: expected at least 1")
        return found

    def _measure(self, rows: Iterable[str], run: Run) -> list[str]:
        """Run rows; those of which something failed, whose errors were said while the others went on."""
        failed = []
        for name in rows:
            started = time.monotonic()
            try:
                print(self.rows[name](run).markdown(), file=sys.stderr)
            except Exception:  # hours of other rows are not lost by it
                traceback.print_exc()
                failed.append(name)
            print(f"\n{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        return failed + run.failed


def machines_and_days(kept: Iterable[Mapping[str, Any]]) -> str:
    """``Machine: ...; first day to last day.`` of some measurements."""
    kept = list(kept)
    machines, days = (sorted({one[key] for one in kept}) for key in ("machine", "date"))
    span = " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "never"
    return f"Machine: {'; '.join(machines) or 'none'}; {span}."
