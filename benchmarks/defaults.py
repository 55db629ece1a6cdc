"""Measures what shows that the defaults hold, beside the many tables of ``suite``, and writes it into ``defaults.md``.

``python benchmarks/defaults.py [ROW ...] [--seeds N] [--rows-cap N] [--page]``: every measurement is kept in
``defaults.json`` as it comes, so that a stopped run goes on; ``--fresh`` measures the named rows again. The page's part
between two marks is written anew from what is kept; the rest of the page is another's and stays.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import curves  # noqa: F401 (registers its rows)
import defaults_rows  # noqa: F401
import install  # noqa: F401
from common import ROOT, Results, forget, write_rows
from defaults_run import ON_REQUEST, ROWS, Run, Section

ORDER = (
    "emoji",
    "mosi_text",
    "words",
    "houses",
    "houses_folds",
    "fights_frames",
    "fsdd_speakers",
    "curves",
    "install",
    "demo",
)
MOST_SEEDS = 20  # the page shows all that are kept


def page(sections: Iterable[Section], kept: Iterable[dict[str, Any]]) -> str:
    """All that is measured, with the machines it was measured on."""
    machines = sorted({one["machine"] for one in kept})
    days = sorted({one["date"] for one in kept})
    span = " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "never"
    head = (
        "Made by `python benchmarks/defaults.py`. Mean ± standard deviation (number of seeds); seconds are those of "
        "the slowest seed's whole command, imports and evaluation included. No choice was made by test rows.\n\n"
        f"Machine: {'; '.join(machines) or 'none'}; {span}."
    )
    return "\n\n".join([head, *(section.markdown() for section in sections if section.lines)])


def measure(rows: Iterable[str], run: Run) -> list[str]:
    """Run rows; those of which something failed, whose errors were said while the others went on."""
    failed = []
    for name in rows:
        started = time.monotonic()
        try:
            print(ROWS[name](run).markdown(), file=sys.stderr)
        except Exception:  # hours of other rows are not lost by it
            traceback.print_exc()
            failed.append(name)
        print(f"\n{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return failed + run.failed


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"of {', '.join(ORDER)}; all but {', '.join(ON_REQUEST)}"
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, or speakers held out")
    parser.add_argument("--rows-cap", type=int, help="the most training rows; figures are kept apart from others")
    parser.add_argument("--quick", action="store_true", help="tiny tables, one epoch, one seed: only whether it runs")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page from what is there")
    parser.add_argument("--fresh", action="store_true", help="measure these rows again")
    parser.add_argument("--to", type=Path, help="folder of defaults.json and defaults.md; this one by default")
    parser.add_argument("--work", type=Path, help="folder of tables and models; a temporary one by default")
    found = parser.parse_args(arguments)
    if unknown := sorted(set(found.rows) - set(ROWS)):
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(ORDER)}")
    if found.quick and found.to is None:
        parser.error("--quick makes figures that mean nothing: say with --to which folder may have them")
    if found.seeds < 1:
        parser.error(f"--seeds {found.seeds}: expected at least 1")
    return found


def main(arguments: list[str] | None = None) -> int:
    asked = parsed(arguments)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    to = asked.to or ROOT / "benchmarks"
    rows = asked.rows or [name for name in ORDER if name not in ON_REQUEST]
    if asked.fresh:
        forget(to / "defaults.json", rows)
    with tempfile.TemporaryDirectory() as folder:
        work = asked.work or Path(folder)
        for needed in (to, work):
            needed.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("POLYFUSE_CACHE", str(work / "cache"))  # so that encoding pictures is timed
        run = Run(Results(str(to / "defaults")), work, 1 if asked.quick else asked.seeds, asked.rows_cap, asked.quick)
        failed = [] if asked.page else measure(rows, run)
        kept = replace(run, results=Results(str(to / "defaults"), kept=True), seeds=MOST_SEEDS)
        sections = [ROWS[name](kept) for name in ORDER]
    measured = [one for key, one in kept.results.values.items() if key.partition("/")[0] in ROWS]
    write_rows(to / "defaults.md", page(sections, measured), "# Defaults\n")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
