"""Judges an output with one sound per row, by its sound and its length beside those of a recording of the same."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from polyfuse.data.cells.spectrogram import Mel
from polyfuse.evaluation.judges.common import (
    Resampling,
    common_notes,
    empty_report,
    finite_or_none,
    measure_values,
    spread_over_rows,
)
from polyfuse.evaluation.judges.generated import match_scores, mean_metrics, note_sameness, variety_share
from polyfuse.evaluation.outcome import Baseline, Outcome, OutputReport
from polyfuse.metrics.cepstra import cepstra, distortion, shape
from polyfuse.metrics.intervals import Measure

HEADLINE = ("mcd", "match", "length_error", "variety")
NAMES = HEADLINE
FRAME = 0.016  # seconds
BINS = 40
LOUD = 1.0  # of a sound's loudest sample, to which both are brought: loudness is not judged
QUIET = 1e-3  # energy of a filter below which nothing is heard


def judge(
    outcome: Outcome, *, bootstrap: int = 1000, seed: int = 0, groups: Sequence[Hashable] | None = None
) -> OutputReport:
    """Mel-cepstral distortion, match, error of length and variety; see ``judges.judge``."""
    rows = outcome.judged()
    if not len(rows):
        return empty_report(outcome, NAMES, HEADLINE)
    resampling = Resampling.of(outcome, bootstrap, seed, groups)
    made, real = ([_to_cepstra(side[row]) for row in rows] for side in (outcome.value, outcome.target))
    of_rows = _of_rows(made, real)
    found, intervals = resampling.measured(partial(mean_metrics, of_rows), len(rows))
    found["variety"] = finite_or_none(variety_share(*_shapes(made, real)))
    usual = real[int(np.argsort([len(one) for one in real], kind="stable")[len(real) // 2])]
    always = {name: value for name, value in _of_rows([usual] * len(real), real).items() if name != "match"}
    baseline = measure_values(partial(mean_metrics, always), len(rows), resampling.weights)
    return OutputReport(
        task=outcome.task,
        rows=len(rows),
        metrics={name: found.get(name) for name in NAMES},
        intervals=intervals,
        headline=HEADLINE,
        baseline=Baseline("always the reference of middle length", {**baseline, "match": 0.5, "variety": 0.0}),
        severity=spread_over_rows(of_rows["mcd"], rows, len(outcome.target)),
        score=spread_over_rows(of_rows["mcd"], rows, len(outcome.target)),
        notes=common_notes(outcome, rows, resampling) + note_sameness(found["variety"] or np.nan, "sounds"),
        decoding=dict(outcome.decoding),
    )


def measure(outcome: Outcome) -> Measure:
    """The metrics of the judged rows as functions of weights of these rows; see ``judges.measure``."""
    rows = outcome.judged()
    made, real = ([_to_cepstra(side[row]) for row in rows] for side in (outcome.value, outcome.target))
    return partial(mean_metrics, _of_rows(made, real))


def _of_rows(made: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    pairs = list(zip(made, real, strict=True))
    return {
        "mcd": np.array([distortion(one, other) for one, other in pairs]),
        "length_error": np.array([abs(len(one) - len(other)) / len(other) for one, other in pairs]),
        "match": match_scores(*_shapes(made, real)),
    }


def _shapes(made: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Cepstra at a few moments of each sound."""
    return [shape(one) for one in made], [shape(one) for one in real]


def _to_cepstra(sound: Mapping[str, Any]) -> np.ndarray:
    """A sound as cepstra (N, 13)."""
    samples, rate = np.asarray(sound["array"], np.float32), int(sound["sampling_rate"])
    loudest = float(np.abs(samples).max(initial=0))
    samples = samples * (LOUD / loudest) if loudest > 0 else samples
    mel = Mel(rate, BINS, max(16, round(FRAME * rate)), QUIET)
    return cepstra(mel.log_mel(samples) * np.log(10))
