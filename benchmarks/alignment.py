"""Measures alignments of inputs in one space: recall, names never trained as classes, what alignment is worth.

``python benchmarks/alignment.py [ROW ...] [--seeds N] [--page]``: every measurement is kept in ``alignment.json`` as it
comes, so that a stopped run goes on; ``--fresh`` measures the named rows again. Validation rows chose the settings.
The page's part between two marks is written anew from what is kept; the rest of the page is another's and stays.
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

import alignment_digits  # noqa: F401 (registers its rows)
import alignment_emoji  # noqa: F401
import alignment_flickr  # noqa: F401
from alignment_run import ROWS
from common import ROOT, Results, forget, write_rows
from defaults_run import Run, Section

ORDER = ("flickr_en", "flickr_zh", "flickr_both", "flickr_scratch", "emojis", "digits", "worth")
MOST_SEEDS = 20  # the page shows all that are kept


def page(sections: Iterable[Section], kept: Iterable[dict[str, Any]]) -> str:
    """All that is measured, with the machines it was measured on, and what is not."""
    kept, sections = list(kept), list(sections)
    machines, days = (sorted({one[key] for one in kept}) for key in ("machine", "date"))
    span = " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "never"
    head = (
        "Made by `python benchmarks/alignment.py`. Mean ± standard deviation over seeds; one seed where there is no "
        "spread. Settings were chosen on validation rows, never on test rows. Seconds are of the slowest seed, on "
        "cores that other work shared.\n\n"
        f"Machine: {'; '.join(machines) or 'none'}; {span}."
    )
    lacking = [section.title for section in sections if not section.lines]
    rest = [f"Not measured yet: {', '.join(title[0].lower() + title[1:] for title in lacking)}."] if lacking else []
    return "\n\n".join([head, *(section.markdown() for section in sections if section.lines), *rest])


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
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ORDER)}; all by default")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds")
    parser.add_argument("--quick", action="store_true", help="tiny tables, one epoch, one seed: only whether it runs")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page from what is there")
    parser.add_argument("--fresh", action="store_true", help="measure these rows again")
    parser.add_argument("--to", type=Path, help="folder of alignment.json and alignment.md; this one by default")
    parser.add_argument("--work", type=Path, help="folder of models; a temporary one by default")
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
    to, rows = asked.to or ROOT / "benchmarks", asked.rows or list(ORDER)
    if asked.fresh:
        forget(to / "alignment.json", rows)
    with tempfile.TemporaryDirectory() as folder:
        work = asked.work or Path(folder)
        for needed in (to, work):
            needed.mkdir(parents=True, exist_ok=True)
        run = Run(Results(str(to / "alignment")), work, seeds=1 if asked.quick else asked.seeds, quick=asked.quick)
        failed = [] if asked.page else measure(rows, run)
        kept = replace(run, results=Results(str(to / "alignment"), kept=True), seeds=MOST_SEEDS)
        sections = [ROWS[name](kept) for name in ORDER]
    measured = [one for key, one in kept.results.values.items() if key.partition("/")[0] in ROWS]
    write_rows(to / "alignment.md", page(sections, measured), "# Alignment\n")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
