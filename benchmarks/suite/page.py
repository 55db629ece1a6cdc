"""Writes the section "Suite" of ``benchmarks/defaults.md`` from the rows that are there.

``python -m benchmarks.suite.page --half report --judge test --label NAME``
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT
from benchmarks.suite import halves, tables
from benchmarks.suite.run import folder, inputs_of, read
from benchmarks.suite.table import Table

PAGE = ROOT / "benchmarks" / "defaults.md"


@dataclass(frozen=True)
class Line:
    """A table with what was measured on it.

    Args:
        baselines: name -> test score.
        chosen: the baseline that was best over folds of training rows; the others were not to be known best.
        scores: polyfuse's test score of each seed.
        ahead: mean score of polyfuse less that of the chosen baseline.
        error: standard error of that difference, over test rows (paired) and seeds.
    """

    item: Table
    rows: int
    baselines: dict[str, float]
    chosen: str
    scores: list[float]
    ahead: float
    error: float
    seconds: tuple[float, float]

    @property
    def z(self) -> float:
        """The difference in standard errors."""
        return self.ahead / self.error if self.error else 0.0 if not self.ahead else float(np.sign(self.ahead)) * 99


def line(item: Table, label: str, judge: str, seeds: list[int]) -> Line | None:
    """The line of a table, or None where its baselines or all its seeds are missing."""
    reference, runs = folder("baselines", judge) / f"{item.name}-0", _runs(item.name, label, judge, seeds)
    if not reference.with_suffix(".json").exists() or not runs:
        return None
    base = read(reference)
    ahead, error = difference(base["errors"][base["chosen"]], np.stack([run["errors"]["polyfuse"] for run in runs]))
    seconds = max(run["seconds"] for run in runs), base["seconds"]
    scores = [run["test"]["polyfuse"] for run in runs]
    rows = base["train"] + base["tested"]
    return Line(item, rows, base["test"], base["chosen"], scores, ahead, error, seconds)


def difference(base_N: np.ndarray, runs_SN: np.ndarray) -> tuple[float, float]:
    """How much less wrong the runs are than the baseline on the same rows, and its standard error.

    Rows and seeds are two sources of chance: the variance of the mean over rows of seed-averaged differences, and the
    variance of the mean over seeds. One seed alone says nothing of the second.
    """
    gain_N = base_N - runs_SN.mean(0)
    over_rows = gain_N.var(ddof=1) / len(gain_N)
    over_seeds = runs_SN.mean(1).var(ddof=1) / len(runs_SN) if len(runs_SN) > 1 else 0.0
    return float(gain_N.mean()), float(np.sqrt(over_rows + over_seeds))


def ranks(lines: list[Line]) -> tuple[float, float]:
    """Mean rank of polyfuse among the baselines of each table, and that of the chosen baseline; 1 is best."""
    own, chosen = [], []
    for one in lines:
        others = list(one.baselines.values())
        mean = statistics.mean(one.scores)
        own.append(1 + sum(value > mean for value in others))
        best = one.baselines[one.chosen]
        chosen.append(1 + sum(value > best for value in others) + (mean > best))
    return statistics.mean(own), statistics.mean(chosen)


def summary(lines: list[Line]) -> str:
    """Ranks and losses in one sentence each."""
    own, chosen = ranks(lines)
    lost = {n: [one.item.name for one in lines if one.z < -n] for n in (1, 2)}
    won = {n: sum(one.z > n for one in lines) for n in (1, 2)}
    names = ", ".join(lost[2]) or "none"
    return (
        f"{len(lines)} tables. Mean rank among the baselines of a table: polyfuse {own:.2f}, the chosen baseline "
        f"{chosen:.2f}. Behind the chosen baseline by more than one standard error on {len(lost[1])} tables, by more "
        f"than two on {len(lost[2])} ({names}); ahead by more than one on {won[1]}, by more than two on {won[2]}."
    )


def row(one: Line) -> str:
    """A line of the Markdown table."""
    inputs = ", ".join(["columns"] if one.item.kind == "columns" else [*_media(one.item)])
    others = ", ".join(
        f"**{name} {value:.3f}**" if name == one.chosen else f"{name} {value:.3f}"
        for name, value in one.baselines.items()
    )
    spread = f" ± {statistics.stdev(one.scores):.3f}" if len(one.scores) > 1 else ""
    cells = [one.item.name, f"{one.rows:,}", inputs, "R2" if one.item.task == "regression" else "accuracy", others]
    cells += [f"{statistics.mean(one.scores):.3f}{spread}", f"{one.z:+.1f}"]
    cells += [f"{one.seconds[0]:.0f}; {one.seconds[1]:.0f}"]
    return "| " + " | ".join(cells) + " |"


def _media(item: Table) -> list[str]:
    """Inputs of a table of several modalities, columns among them where its frame has any."""
    return list(item.inputs(item.load()))


HEADER = (
    "| table | rows | inputs | metric | baselines (in bold: best over folds of training rows) | polyfuse "
    "| standard errors ahead | seconds: polyfuse (slowest seed); baselines |\n|---|---|---|---|---|---|---|---|"
)


def section(lines: list[Line], title: str, machine: str) -> str:
    """Heading, what the figures are, the table, and the summary."""
    body = "\n".join(row(one) for one in lines)
    return f"""### {title}

{summary(lines)}

{HEADER}
{body}

Machine: {machine}.
"""


def single_inputs_table(names: list[str], label: str, judge: str, seeds: list[int]) -> str:
    """A table of what each input says alone beside all together, and the worst of it in a sentence."""
    lines, behind = [], []
    for name in names:
        runs = {kind: _runs(name, label, judge, seeds, f"-{kind}") for kind in inputs_of(name)}
        whole = _runs(name, label, judge, seeds)
        if not whole or not runs or not all(runs.values()):
            continue
        scores = {kind: statistics.mean(run["test"]["polyfuse"] for run in found) for kind, found in runs.items()}
        best = max(scores, key=lambda kind: scores[kind])
        together = np.stack([run["errors"]["polyfuse"] for run in whole])
        ahead, error = difference(np.stack([run["errors"]["polyfuse"] for run in runs[best]]).mean(0), together)
        z = ahead / error if error else 0.0
        behind += [name] if z < -1 else []
        said = ", ".join(f"**{k} {v:.3f}**" if k == best else f"{k} {v:.3f}" for k, v in scores.items())
        fused = statistics.mean(run["test"]["polyfuse"] for run in whole)
        lines.append(f"| {name} | {said} | {fused:.3f} | {z:+.1f} |")
    return (
        f"Behind its best input alone, by more than one standard error, on {len(behind)} of {len(lines)} tables"
        f"{' (' + ', '.join(behind) + ')' if behind else ''}.\n\n"
        "| table | polyfuse with one input (in bold: best on the judged rows) | with all | standard errors ahead |\n"
        "|---|---|---|---|\n" + "\n".join(lines)
    )


def _runs(name: str, label: str, judge: str, seeds: list[int], ending: str = "") -> list[dict]:
    places = [folder(label, judge) / f"{name}-{seed}{ending}" for seed in seeds]
    return [read(place) for place in places if place.with_suffix(".json").exists()]


def machine() -> str:
    """Cores and memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB memory"


def replace_section(page: str, title: str, text: str) -> str:
    """The page with that subsection of "Suite" new, and all else as it was."""
    if "## Suite\n" not in page:
        page = page.rstrip("\n") + f"\n\n## Suite\n\n{INTRODUCTION}\n"
    found = re.search(rf"### {re.escape(title)}\n.*?(?=\n##|\Z)", page, re.DOTALL)
    if found:
        return page[: found.start()] + text.rstrip("\n") + "\n" + page[found.end() :]
    head, _, rest = page.partition("## Suite\n")
    following = re.search(r"\n## ", rest)
    place = following.start() if following else len(rest)
    return f"{head}## Suite\n{rest[:place].rstrip()}\n\n{text.rstrip()}\n{rest[place:]}"


INTRODUCTION = """Small real tables, fitted with nothing but the output named, beside classical baselines whose every
choice is made by folds of training rows (`benchmarks/suite/`). Tables of one half are chosen on, with a quarter of
their training rows in the part of test rows; test rows of the other half are read once, for this page."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite.page", description=__doc__)
    parser.add_argument("--half", choices=["choose", "report"], default="choose")
    parser.add_argument("--judge", choices=["inner", "test"], default="inner")
    parser.add_argument("--label", default="default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--title", help="of the subsection; made from half, judge and label by default")
    parser.add_argument("--machine", default=machine(), help="where the rows were measured")
    parser.add_argument("--to", type=Path, default=PAGE)
    parser.add_argument("--alone", action="store_true", help="the section on inputs alone instead")
    given = parser.parse_args()
    text = given.to.read_text(encoding="utf8") if given.to.exists() else "# Defaults\n"
    if given.alone:
        title = given.title or f"Each input alone, half to {given.half}"
        body = single_inputs_table(halves()[given.half], given.label, given.judge, given.seeds)
        given.to.write_text(replace_section(text, title, f"### {title}\n\n{body}\n"), encoding="utf8")
        print(body)
        return
    found = [line(tables()[name], given.label, given.judge, given.seeds) for name in halves()[given.half]]
    lines = [one for one in found if one is not None]
    if not lines:
        parser.error(f"no rows of {given.label!r} judged by {given.judge}; run python -m benchmarks.suite first")
    rows = "test rows" if given.judge == "test" else "inner rows"
    title = given.title or f"Half to {given.half}, {rows}, {given.label}"
    given.to.write_text(replace_section(text, title, section(lines, title, given.machine)), encoding="utf8")
    print(summary(lines))


if __name__ == "__main__":
    main()
