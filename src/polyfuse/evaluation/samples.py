"""Rows worth looking at: the worst mistakes, the best where rows are more or less right, and some rows by chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from polyfuse.evaluation.drawn_places import DrawnPlaces
from polyfuse.evaluation.marked_words import MarkedText
from polyfuse.evaluation.outcome import Outcome, OutputReport
from polyfuse.evaluation.previews import CellPreview
from polyfuse.evaluation.timelines import Timeline

if TYPE_CHECKING:
    from polyfuse.evaluation.attention_view import AttentionView


@dataclass(frozen=True)
class Sample:
    """One row to show for one output.

    Args:
        row: its number in the table.
        output: the output it is shown for.
        worst: among the worst mistakes; else drawn by chance.
        cells: column -> cell ready to show.
        target, prediction: in original labels and units.
        confidence: of the prediction, 0 to 1, where the output has one.
        right: None for numbers and texts, which are never simply right or wrong.
        identifier: what the table itself calls the row, where a column says so.
        best: among the best rows.
        score, metric: of this row by the metric that is quoted, and its name, where rows are more or less right.
        position: of the row among those judged.
        looked: what its text was written about, where the decoder says it and the row is one of the first of its kind.
        contributions: what each input brought to the probability or number, where the model has few of them.
        marked: its words with their tags, where the output has any.
        timeline: its events on a line of time, where the output has any.
        drawn: its picture with boxes or masks on it, where the output has any.
    """

    row: int
    output: str
    worst: bool
    cells: dict[str, CellPreview]
    target: Any
    prediction: Any
    confidence: float | None = None
    right: bool | None = None
    identifier: str | None = None
    best: bool = False
    score: float | None = None
    metric: str | None = None
    position: int = 0
    looked: AttentionView | None = None
    contributions: dict[str, float] | None = None
    marked: MarkedText | None = None
    timeline: Timeline | None = None
    drawn: DrawnPlaces | None = None


def samples(
    name: str,
    outcome: Outcome,
    report: OutputReport,
    show: Callable[[int], dict[str, CellPreview]],
    *,
    rows: Sequence[int] | np.ndarray | None = None,
    ids: Sequence[str] | None = None,
    worst: int = 6,
    random: int = 6,
    best: int = 6,
    seed: int = 0,
) -> list[Sample]:
    """The worst mistakes of an output, then the best rows where rows have scores, then rows by chance.

    Args:
        name: the output's.
        outcome, report: what was judged, and the judgement.
        show: position of a row in the outcome -> its cells.
        rows: row number in the table for each position; the position itself when left out.
        ids: what the table itself calls each row.
        worst, random, best: how many of each at most.
        seed: of the draw.
    """
    mistakes, good, drawn = choose_rows(report.severity, worst, random, seed, best if report.score is not None else 0)

    def sample(position: int, is_worst: bool = False, is_best: bool = False) -> Sample:
        confidence = None if report.confidence is None else float(report.confidence[position])
        graded = report.scatter is not None or report.score is not None
        right = None if graded else not report.severity[position]
        score = None if report.score is None else float(report.score[position])
        row = position if rows is None else int(rows[position])
        target, value = outcome.target[position], outcome.value[position]
        called = None if ids is None else ids[position]
        cells, metric = show(position), None if score is None else report.headline[0]
        return Sample(
            row, name, is_worst, cells, target, value, confidence, right, called, is_best, score, metric, position
        )

    shown = [sample(p, is_worst=True) for p in mistakes] + [sample(p, is_best=True) for p in good]
    return shown + [sample(p) for p in drawn]


def choose_rows(
    severity: np.ndarray, worst: int, random: int, seed: int, best: int = 0
) -> tuple[list[int], list[int], list[int]]:
    """Positions of the worst mistakes, of the best of the others, and of other judged rows by chance, in row order."""
    judged = np.flatnonzero(~np.isnan(severity))
    order = judged[np.argsort(-severity[judged], kind="stable")]
    mistakes = [int(p) for p in order[:worst] if severity[p] > 0]
    good = [int(p) for p in order[::-1][:best] if p not in mistakes]
    rest = np.setdiff1d(judged, mistakes + good)
    drawn = np.random.default_rng(seed).choice(rest, size=min(random, len(rest)), replace=False)
    return mistakes, good, sorted(int(p) for p in drawn)
