"""Runs the suite: ``python -m benchmarks.suite --half choose --label NAME``; a stopped run goes on where it was.

While choosing, ``--judge inner`` (the default) never reads a test row: training rows that stand aside take their part.
``--judge test`` reads the real test rows and is there for the half that only reports, once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT
from benchmarks.suite import halves, sources, tables


@dataclass(frozen=True)
class Job:
    """One run and where its row goes."""

    table: str
    system: str
    seed: int
    judge: str
    place: Path
    options: dict[str, Any]
    only: str | None = None

    def done(self) -> bool:
        return self.place.with_suffix(".json").exists()

    def command(self) -> list[str]:
        options = ["--seed", str(self.seed), "--judge", self.judge, "--to", str(self.place)]
        options += ["--options", json.dumps(self.options), *(["--only", self.only] if self.only else [])]
        return [sys.executable, "-m", "benchmarks.suite.one", self.table, self.system, *options]


def folder(label: str, judge: str) -> Path:
    """Rows of one setting under its label; those of the baselines are shared by all labels."""
    return sources.CACHE / "results" / judge / label


def jobs(given: argparse.Namespace) -> Iterator[Job]:
    """Baselines first: cheap, and the same for every label."""
    options: dict[str, Any] = {"time": given.limit_seconds} if given.limit_seconds else {}
    options |= {"settings": given.set} if given.set else {}
    options |= {"preset": given.preset} if given.preset else {}
    names = given.tables or [n for half, ns in halves().items() if given.half in (half, "all") for n in ns]
    for system in ("baselines", "polyfuse") if given.system == "both" else (given.system,):
        for seed in [0] if system == "baselines" else given.seeds:
            place = folder("baselines" if system == "baselines" else given.label, given.judge)
            for name in names:
                if given.alone and system == "polyfuse":
                    for kind in inputs_of(name):
                        yield Job(name, system, seed, given.judge, place / f"{name}-{seed}-{kind}", options, kind)
                else:
                    yield Job(
                        name,
                        system,
                        seed,
                        given.judge,
                        place / f"{name}-{seed}",
                        options if system == "polyfuse" else {},
                    )


def inputs_of(name: str) -> list[str]:
    """Modalities of a table of several; none for a table of one, which has nothing to leave out."""
    item = tables()[name]
    if item.kind != "several":
        return []
    return list(item.inputs(item.load()))


def run(job: Job, limit: float) -> str:
    """Start it unless its row is there; says how it ended, and leaves the last words of one that failed."""
    if job.done():
        return "there"
    environment = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **os.environ}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    try:
        allowed = 3 * limit + 120 if limit else None
        done = subprocess.run(job.command(), capture_output=True, text=True, timeout=allowed, env=environment, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return _failed(job, f"stopped after {allowed:.0f} seconds")
    return _ended(job) if done.returncode == 0 else _failed(job, done.stderr[-3000:])


def _failed(job: Job, words: str) -> str:
    job.place.parent.mkdir(parents=True, exist_ok=True)
    job.place.with_suffix(".failed").write_text(words, encoding="utf8")
    return f"FAILED: {words.strip().splitlines()[-1] if words.strip() else 'without a word'}"


def _ended(job: Job) -> str:
    job.place.with_suffix(".failed").unlink(missing_ok=True)
    row = read(job.place)
    scores = ", ".join(f"{name} {value:.3f}" for name, value in row["test"].items())
    return f"{scores} in {row['seconds']:.0f} s"


def read(place: Path) -> dict[str, Any]:
    """A row, with the errors of every predictor."""
    row = json.loads(place.with_suffix(".json").read_text(encoding="utf8"))
    with np.load(place.with_suffix(".npz")) as errors:
        return {**row, "errors": {name: errors[name] for name in errors.files}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite", description=__doc__)
    parser.add_argument("--half", choices=["choose", "report", "all"], default="choose")
    parser.add_argument("--tables", nargs="+", help="these tables instead of a half")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--system", choices=["polyfuse", "baselines", "both"], default="both")
    parser.add_argument("--judge", choices=["inner", "test"], default="inner")
    parser.add_argument("--label", default="default", help="name of these settings, under which the rows are kept")
    parser.add_argument("--preset", help="of polyfuse.fit")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of the recipe")
    parser.add_argument("--alone", action="store_true", help="each input of tables of several modalities alone")
    parser.add_argument("--limit-seconds", type=float, default=600, help="time that each fit is given; 0: no limit")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--cache", type=Path, help="folder of tables and rows")
    given = parser.parse_args()
    unknown = set(given.tables or []) - set(tables())
    if unknown:
        parser.error(f"no table {', '.join(sorted(unknown))}; there are {', '.join(sorted(tables()))}")
    if given.cache:
        sources.CACHE = given.cache
        os.environ["POLYFUSE_SUITE"] = str(given.cache)  # for the processes of the runs
    with ThreadPoolExecutor(given.jobs) as pool:
        waiting = list(jobs(given))
        for job, said in zip(waiting, pool.map(lambda job: run(job, given.limit_seconds), waiting), strict=True):
            print(f"{job.table} {job.system} {job.seed}: {said}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
