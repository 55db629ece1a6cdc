"""How much noise a model takes: each input noised alone and all together, by degrees, judged on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from polyfuse import registry
from polyfuse.data.cells.source import Limits
from polyfuse.data.corrupt import CORRUPTIONS, corruptions_for
from polyfuse.data.corrupt.apply import Source
from polyfuse.data.prepare import Prepared
from polyfuse.data.tables import Table
from polyfuse.evaluation.curves import SEVERITIES, Curve, Headline, Point, mean_curve
from polyfuse.evaluation.evaluate import note_unseen_labels, report_facts, row_groups
from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.noise import CLEAN, Case, Noises, Tables, predict_cases
from polyfuse.evaluation.outcome import Outcome, OutputReport
from polyfuse.evaluation.robustness_report import Noised, RobustnessReport
from polyfuse.evaluation.targets import make_outcomes, metric_weights, note_unlabelled
from polyfuse.model.bundle import Bundle
from polyfuse.model.prepare import make_rows
from polyfuse.recipe.outputs import word_columns

Judged = dict[Case, dict[str, OutputReport]]


def robustness(
    bundle: Bundle,
    table: Table,
    prepared: Mapping[str, Prepared],
    rows: np.ndarray,
    *,
    inputs: Sequence[str] | None = None,
    severities: Sequence[float] = SEVERITIES,
    corruptions: Mapping[str, Sequence[str]] | None = None,
    metrics: Mapping[str, str] | None = None,
    seed: int = 0,
    bootstrap: int = 1000,
    name: str = "model",
    unseen: str = "error",
    kept: Mapping[str, Prepared] | None = None,
    heard: Noises | None = None,
) -> RobustnessReport:
    """The curve of each output's headline metric, for each input under noise and for all of them.

    Args:
        prepared: ``in:NAME`` and ``out:NAME`` -> cells of the whole table.
        rows: row numbers to judge.
        inputs: the inputs to noise, all by default; "together" is all of these.
        severities: from 0 to 1. 0, the clean model, is always measured.
        corruptions: modality -> names of ``data.corrupt.CORRUPTIONS``; all of a modality that is not named.
        metrics: output -> metric of its curves instead of the headline one.
        seed: of the noise. Noise follows a row wherever it stands, so models judged on the same table and seed meet
            the same noise.
        bootstrap: resamples for the intervals; 0 for none.
        name: what the report calls the model.
        unseen: ``error``, or ``skip`` to leave out rows whose label training never saw, and say so.
        kept: ``prepared`` with the tokens of frozen encoders in place of their cells, for what stays clean.
        heard: what frozen encoders made of noise, for the next network that shares them.

    Example:
        Quick, to compare many models: one severity, one corruption for each modality, no intervals.

        >>> robustness(bundle, table, prepared, rows, severities=(0.5,), corruptions=default_corruptions(), bootstrap=0)

    Raises:
        ValueError: no such input, corruption or metric; a severity out of range; a model without outputs; a label that
            was not seen in training, with ``unseen="error"``.
    """
    if not bundle.recipe.outputs:
        raise ValueError("this model has no outputs, so there is no metric for noise to change")
    if seed < 0:
        raise ValueError(f"seed={seed}: expected a number from 0 on")
    steps = _severities(severities)
    tables = _tables(bundle, inputs, corruptions or {})
    chosen = _metrics(bundle, metrics or {})
    notes = note_unseen_labels(bundle, table, prepared, rows, unseen) + note_unlabelled(bundle, table, prepared, rows)
    reads = bundle.recipe.reads
    sources = {reader: _source(bundle, table, prepared, n, reader) for n in tables for reader in reads[n]}
    every = make_rows(kept or prepared, len(table))
    words = {name: _word_sources(bundle, table, prepared, name) for name in tables}
    found = predict_cases(
        bundle.network, every, sources, tables, steps, seed=seed, numbers=rows, heard=heard, words=words
    )
    groups = row_groups(bundle, table, rows)
    weights = metric_weights(bundle.recipe, table, rows)
    judged = {
        case: {
            output: judge(outcome, bootstrap=bootstrap, groups=groups)
            for output, outcome in make_outcomes(bundle, prepared, rows, predicted, weights).items()
        }
        for case, predicted in found.items()
    }
    headlines = {o: Headline.of(clean, chosen.get(o, clean.headline[0])) for o, clean in judged[CLEAN].items()}
    together = {o: _curve(judged, h, o, None, None, steps) for o, h in headlines.items()}
    present = {n: int((sources[n].prepared.index_RK[rows] >= 0).any(1).sum()) for n in tables}
    return RobustnessReport(
        rows=len(rows),
        seed=seed,
        headlines=headlines,
        inputs={n: _noised(judged, headlines, sources[n], list(tables[n]), steps, present[n]) for n in tables},
        together=Noised(None, _any_present(sources, rows), together, {}),
        meta=report_facts(bundle, table, name, [*notes, *_notes(headlines, present, len(rows))]),
    )


def _severities(asked: Sequence[float]) -> tuple[float, ...]:
    """Rising and above 0."""
    wrong = [severity for severity in asked if not 0 <= severity <= 1]
    found = tuple(sorted({float(severity) for severity in asked if severity > 0}))
    if wrong or not found:
        raise ValueError(f"severities: expected numbers from 0 to 1, one of them above 0; found {list(asked)}")
    return found


def _tables(bundle: Bundle, inputs: Sequence[str] | None, wanted: Mapping[str, Sequence[str]]) -> Tables:
    known = bundle.recipe.inputs
    for modality in wanted:
        registry.choose(CORRUPTIONS, modality, "modality to corrupt")
    tables = {}
    for name in dict.fromkeys(inputs or known):
        modality = str(registry.choose(known, name, "input").modality)
        full = corruptions_for(modality)
        names = wanted.get(modality) or list(full)
        tables[name] = {c: registry.choose(full, c, f"{modality} corruption") for c in names}
    return tables


def _metrics(bundle: Bundle, wanted: Mapping[str, str]) -> Mapping[str, str]:
    """The metrics asked for, known before any work is done."""
    for output, metric in wanted.items():
        registry.choose(bundle.recipe.outputs, output, "output")
        known = judge(Outcome(bundle.network.head(output).task, [None], [None])).metrics
        registry.choose(known, metric, f"metric of {output!r}")
    return wanted


def _source(bundle: Bundle, table: Table, prepared: Mapping[str, Prepared], name: str, reader: str) -> Source:
    """What one reader has of an input; readers of one input suffer the same noise."""
    item = bundle.recipe.inputs[name]
    limits = Limits(**bundle.recipe.data.limits.model_dump())
    frame = table.frame[list(item.columns)]
    return Source(name, str(item.modality), prepared[f"in:{reader}"], frame, table.rows_N, limits)


def _curve(
    judged: Judged, headline: Headline, output: str, name: str | None, corruption: str | None, steps: Sequence[float]
) -> Curve:
    cases = [CLEAN, *(Case(name, corruption, severity) for severity in steps)]
    found = [(case.severity, judged[case][output]) for case in cases]
    metric = headline.metric
    return Curve.of([Point(s, r.metrics[metric], r.intervals.get(metric)) for s, r in found], headline)


def _noised(
    judged: Judged,
    headlines: dict[str, Headline],
    source: Source,
    names: list[str],
    steps: Sequence[float],
    present: int,
) -> Noised:
    each = {c: {o: _curve(judged, h, o, source.name, c, steps) for o, h in headlines.items()} for c in names}
    means = {o: mean_curve([curves[o] for curves in each.values()], h) for o, h in headlines.items()}
    return Noised(source.modality, present, means, each)


def _any_present(sources: Mapping[str, Source], rows: np.ndarray) -> int:
    return int(np.any([(source.prepared.index_RK[rows] >= 0).any(1) for source in sources.values()], 0).sum())


def _notes(headlines: dict[str, Headline], present: dict[str, int], rows: int) -> list[str]:
    notes = []
    for output, headline in headlines.items():
        if headline.advantage is None:
            notes.append(f"{output}: the clean model is no better than the baseline, so there is nothing to retain")
        elif not headline.sure:
            notes.append(f"{output}: the clean interval holds the baseline, so retention is mostly chance")
    absent = {name: rows - count for name, count in present.items() if count < rows}
    if absent:
        listed = ", ".join(f"{name} {count:,}" for name, count in absent.items())
        notes.append(f"rows without the input, which noise in it cannot touch: {listed} of {rows:,}")
    return notes


def _word_sources(bundle: Bundle, table: Table, prepared: Mapping[str, Prepared], name: str) -> dict[str, Source]:
    """Outputs whose head reads the words of an input, where no other input reads them: their column as a source."""
    item, found = bundle.recipe.inputs[name], {}
    for output, column in word_columns(bundle.recipe).items():
        if [n for n, other in bundle.recipe.inputs.items() if column in other.columns] == [name]:
            limits = Limits(**bundle.recipe.data.limits.model_dump())
            frame = table.frame[[column]]
            found[output] = Source(name, str(item.modality), prepared[f"own:{output}"], frame, table.rows_N, limits)
    return found
