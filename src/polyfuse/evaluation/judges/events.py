"""Judges an output of events in time: by segments of a second, and by onsets within a fifth of one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np

from polyfuse.evaluation.judges.common import Resampling, common_notes, empty_report, spread_over_rows
from polyfuse.evaluation.outcome import Baseline, Outcome, OutputReport
from polyfuse.metrics import events as metrics
from polyfuse.metrics import tags
from polyfuse.metrics.intervals import Measure

KINDS = ("precision", "recall", "f1")
NAMES = tuple(f"{what}_{mean}{kind}" for what in ("segment", "onset") for mean in ("", "macro_") for kind in KINDS)
HEADLINE = ("segment_f1", "segment_precision", "segment_recall", "onset_f1", "onset_precision", "onset_recall")


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """Precision, recall and F1 of segments and onsets; recordings are resampled; see ``judges.judge``."""
    rows = outcome.judged()
    shown = HEADLINE if outcome.metric is None else tuple(dict.fromkeys((outcome.metric, *HEADLINE)))
    if not len(rows):
        return empty_report(outcome, NAMES, shown)
    resampling = Resampling.of(outcome, bootstrap, seed, groups)
    segments, onsets = _counted(outcome, rows)
    found, intervals = resampling.measured(partial(_measure, segments, onsets), len(rows))
    mistakes = (segments.true_NL + segments.said_NL - 2 * segments.right_NL).sum(1)
    mistakes = mistakes + (onsets.true_NL + onsets.said_NL - 2 * onsets.right_NL).sum(1)
    notes = []
    if not onsets.true_NL.any():
        notes.append("No event happens in these recordings, so precision, recall and F1 tell nothing.")
    elif not onsets.said_NL.any():
        notes.append("Not one event was found.")
    notes.append(f"{int(onsets.true_NL.sum()):,} events; intervals resample recordings; per label by segments.")
    return OutputReport(
        task=outcome.task,
        rows=len(rows),
        metrics={name: found[name] for name in NAMES},
        intervals={name: value for name, value in intervals.items() if name in NAMES},
        headline=shown,
        baseline=Baseline("never any event", dict.fromkeys(HEADLINE, 0.0)),
        severity=spread_over_rows(mistakes, rows, len(outcome.target)),
        per_class=tags.span_report(segments, resampling.weights),
        notes=common_notes(outcome, rows, resampling) + notes,
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics of the judged rows as functions of weights of these rows; see ``judges.measure``."""
    return partial(_measure, *_counted(outcome, outcome.judged()))


def _counted(outcome: Outcome, rows: np.ndarray) -> tuple[tags.SpanCounts, tags.SpanCounts]:
    true, said = ([list(side[row] or []) for row in rows] for side in (outcome.target, outcome.value))
    return metrics.count_segments(true, said), metrics.count_onsets(true, said)


def _measure(segments: tags.SpanCounts, onsets: tags.SpanCounts, weights: np.ndarray) -> dict[str, np.ndarray]:
    found = tags.span_metrics(segments, weights, "segment") | tags.span_metrics(onsets, weights, "onset")
    return {name: found[name] for name in NAMES}
