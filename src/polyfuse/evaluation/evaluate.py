"""Evaluates a model on rows of a table: metrics, missing modalities, samples to look at, unreadable cells."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch

from polyfuse.contracts import ShowsAttention, offers
from polyfuse.data.cells.source import Limits, is_missing
from polyfuse.data.prepare import BrokenCell, Prepared
from polyfuse.data.recordings import recording_seconds
from polyfuse.data.tables import Table
from polyfuse.errors import format_count
from polyfuse.evaluation.attention_view import view_attention
from polyfuse.evaluation.contributions import add_contributions
from polyfuse.evaluation.drawn_places import draw_places
from polyfuse.evaluation.folds import Folds
from polyfuse.evaluation.importance import column_importance
from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.marked_words import mark_text
from polyfuse.evaluation.missing import missing_table, subsets
from polyfuse.evaluation.outcome import Outcome
from polyfuse.evaluation.previews import CellPreview, preview_cell
from polyfuse.evaluation.report import Report
from polyfuse.evaluation.retrieval import evaluate_retrieval
from polyfuse.evaluation.samples import Sample, samples
from polyfuse.evaluation.targets import make_outcomes, metric_weights, note_unlabelled
from polyfuse.evaluation.timelines import draw_events
from polyfuse.model.bundle import Bundle
from polyfuse.model.inference import Decoding, Rules, apply_rules, attend, predict_subsets
from polyfuse.model.prepare import make_rows, read_options
from polyfuse.recipe import Recipe
from polyfuse.recipe.outputs import picture_columns, word_columns
from polyfuse.recipe.timing import timed_columns
from polyfuse.version import __version__

TIMED = (16, 64)  # rows that are judged to see how long it takes: what comes once, and what comes per row
LOOKED = 2  # rows of each kind of which the page shows what their words were written about
MOST_BROKEN = 50  # cells listed per column in a report
Kept: TypeAlias = dict[tuple[str, ...], dict[str, Outcome]]
"""Inputs that stay present -> output -> what is known of it; all inputs first."""


def evaluate_rows(
    bundle: Bundle,
    table: Table,
    prepared: Mapping[str, Prepared],
    rows: np.ndarray,
    *,
    name: str,
    notes: Sequence[str] = (),
    unseen: str = "error",
    seconds: dict[str, float] | None = None,
    importance: int = 0,
    rules: Rules | None = None,
    decoding: Decoding | None = None,
) -> Report:
    """Judge a model on some rows of a table.

    Args:
        prepared: ``in:NAME`` and ``out:NAME`` -> cells of the whole table.
        rows: row numbers to judge.
        name: what the report calls the model.
        notes: what the reader must know.
        unseen: ``error``, or ``skip`` to leave out rows whose label training never saw, and say so.
        seconds: where time went, by name; the report shows this very dictionary.
        importance: rows on which the worth of every single column is measured; 0 for none.
        rules: how classes are answered, where not by the rules of the heads.
        decoding: how texts are written, where not as the heads say.

    Raises:
        ValueError: a label that was not seen in training, with ``unseen="error"``; or no row has any target.
    """
    notes = [
        *notes,
        *note_unseen_labels(bundle, table, prepared, rows, unseen),
        *note_unlabelled(bundle, table, prepared, rows),
    ]
    kept = outcomes_by_inputs(bundle, table, prepared, rows, rules, decoding)
    worth = []
    if importance and bundle.recipe.outputs:
        worth = column_importance(bundle, table, prepared, rows, most=importance, rules=rules, decoding=decoding)
    report = build_report(
        bundle, table, prepared, rows, kept, name=name, notes=notes, seconds=seconds, importance=worth
    )
    shown = _with_attention(bundle, table, prepared, rows, report.samples, decoding)
    network_rows = make_rows(prepared, len(table), bundle.recipe)
    return replace(report, samples=add_contributions(bundle.network, network_rows, rows, kept, shown))


def outcomes_by_inputs(
    bundle: Bundle,
    table: Table,
    prepared: Mapping[str, Prepared],
    rows: np.ndarray,
    rules: Rules | None = None,
    decoding: Decoding | None = None,
) -> Kept:
    """What is known of each output after prediction over some rows, with all inputs present and with fewer."""
    inputs = list(bundle.recipe.inputs)
    keeps = subsets(inputs) if len(inputs) > 1 else [tuple(inputs)]
    network_rows = make_rows(prepared, len(table), bundle.recipe)
    found = predict_subsets(bundle.network, network_rows, keeps, numbers=rows, decoding=decoding)
    found = [apply_rules(bundle.network, one, rules or {}) for one in found]
    weights = metric_weights(bundle.recipe, table, rows)
    outcomes = [make_outcomes(bundle, prepared, rows, one, weights) for one in found]
    for name, options in (decoding or {}).items():
        said = bundle.network.head(name).writing(**options).said()
        outcomes = [{**one, name: replace(one[name], decoding=said)} for one in outcomes]
    return dict(zip(keeps, outcomes, strict=True))


def build_report(
    bundle: Bundle,
    table: Table,
    prepared: Mapping[str, Prepared],
    rows: np.ndarray,
    kept: Kept,
    *,
    name: str,
    notes: Sequence[str],
    seconds: dict[str, float] | None = None,
    importance: Sequence[dict[str, Any]] = (),
    folds: Folds | None = None,
) -> Report:
    """The report of what was said of some rows.

    Args:
        kept: inputs that were present -> outcome of each output, all inputs first.
        seconds: where time went, by name; the report shows this very dictionary.
        importance: rows of ``column_importance``.
        folds: how metrics differ from fold to fold, where folds judged.
    """
    inputs, outcomes = list(bundle.recipe.inputs), next(iter(kept.values()))
    groups = row_groups(bundle, table, rows)
    reports = {output: judge(outcome, groups=groups) for output, outcome in outcomes.items()}
    return Report(
        rows=len(rows),
        outputs=reports,
        broken=_broken_cells(prepared, table, rows),
        missing_modality=missing_table(kept.__getitem__, inputs, groups=groups) if len(inputs) > 1 else [],
        samples=_samples(bundle, table, rows, outcomes, reports),
        alignment=evaluate_retrieval(bundle, prepared, rows, alignment_keys(bundle, table)) if folds is None else [],
        meta=report_facts(bundle, table, name, notes),
        folds=folds,
        history=bundle.report.get("training", {}).get("history", []),
        seconds=seconds if seconds is not None else {},
        importance=list(importance),
    )


def estimate_seconds(bundle: Bundle, table: Table, prepared: Mapping[str, Prepared], rows: np.ndarray) -> float:
    """About how long ``evaluate_rows`` takes, from few of the rows; whether the network is trained changes nothing."""
    spent, few = 0.0, TIMED[0]
    for few in TIMED:
        before, started = spent, time.monotonic()
        evaluate_rows(bundle, table, prepared, rows[:few], name="", unseen="skip")
        spent = time.monotonic() - started
        if len(rows) <= few:
            return spent
    each = max(0.0, spent - before) / (TIMED[1] - TIMED[0])
    return spent + each * (len(rows) - few)


def alignment_keys(bundle: Bundle, table: Table) -> np.ndarray | None:
    """What each row stands for, where an alignment has a key and the table holds it."""
    keys = [key for key in bundle.recipe.keys if key in table.frame]
    return pd.factorize(table.frame[keys[0]].astype(object))[0] if keys else None


def row_groups(bundle: Bundle, table: Table, rows: np.ndarray) -> list[Any] | None:
    """Rows of one speaker or patient are not independent: the intervals resample them together."""
    group = bundle.recipe.data.group
    return table.frame[group].iloc[rows].astype(str).tolist() if group and group in table.frame else None


def note_unseen_labels(
    bundle: Bundle, table: Table, prepared: Mapping[str, Prepared], rows: np.ndarray, unseen: str
) -> list[str]:
    """A note per output on rows left out because training never saw their label, where ``unseen`` is ``skip``.

    Raises:
        ValueError: there are such rows and ``unseen`` is ``error``, or it is neither of the two.
    """
    if unseen not in ("error", "skip"):
        raise ValueError(f"unseen: expected 'error' or 'skip', found {unseen!r}")
    chosen = set(rows.tolist())
    notes = []
    for output in bundle.recipe.outputs:
        found = [b for b in prepared[f"out:{output}"].broken if b.unseen and b.row in chosen]
        if found and unseen == "error":
            raise ValueError(
                f"output {output!r}: {format_count(len(found), 'row has', 'rows have')} a label that training never "
                f"saw; {table.origin(found[0].row)}: {found[0].reason}. "
                "Leave those rows out with unseen='skip' (--unseen skip), or train with them."
            )
        if found:
            notes.append(
                f"{output}: {format_count(len(found), 'row')} left out, with labels that were not seen in training"
            )
    return notes


def _broken_cells(prepared: Mapping[str, Prepared], table: Table, rows: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    chosen = set(rows.tolist())
    listed: dict[str, dict[int, BrokenCell]] = {}
    for cells in prepared.values():
        for broken in cells.broken:
            found = listed.setdefault(broken.column, {}) if broken.row in chosen and not broken.unseen else {}
            found.setdefault(broken.row, broken)  # several encoders of an input meet the same cell
    return {
        column: [
            {"row": table.origin(b.row), "file": b.file, "reason": b.reason}
            for b in list(cells_by_row.values())[:MOST_BROKEN]
        ]
        for column, cells_by_row in listed.items()
    }


def _samples(
    bundle: Bundle, table: Table, rows: np.ndarray, outcomes: dict[str, Outcome], reports: dict[str, Any]
) -> list[Sample]:
    show_row = partial(_show_row, bundle, table, rows)
    ids = (
        [f"{table.identifier} {name}" for name in table.frame[table.identifier].iloc[rows]]
        if table.identifier
        else None
    )
    found = [
        sample
        for output, outcome in outcomes.items()
        for sample in samples(output, outcome, reports[output], show_row, rows=table.rows_N[rows], ids=ids)
    ]
    words, pictures, recordings = (
        word_columns(bundle.recipe),
        picture_columns(bundle.recipe),
        timed_columns(bundle.recipe),
    )
    limits = read_options(bundle.recipe, table).limits
    drawn = []
    for one in found:
        if one.output in words:
            one = _with_words(one, table, rows, words[one.output])
        elif one.output in pictures:
            one = _with_places(bundle, one, table, rows, limits)
        elif one.output in recordings:
            one = _with_timeline(one, table, rows, *recordings[one.output], limits)
        drawn.append(one)
    return drawn


def _with_timeline(sample: Sample, table: Table, rows: np.ndarray, column: str, kind: str, limits: Limits) -> Sample:
    """The sample with its events on a line as long as its recording."""
    cell = table.frame[column].iat[rows[sample.position]]
    seconds = None if is_missing(cell) else recording_seconds(cell, kind, table.root, limits)
    return replace(sample, timeline=draw_events(sample.target, sample.prediction, seconds))


def _with_places(bundle: Bundle, sample: Sample, table: Table, rows: np.ndarray, limits: Limits) -> Sample:
    """The sample with its picture, on which boxes or masks are drawn."""
    keywords = bundle.recipe.outputs[sample.output].head.keywords
    cell = table.frame[keywords["picture"]].iat[rows[sample.position]]
    options = {"pixels": keywords.get("pixels", "stored"), "root": table.root}
    return replace(sample, drawn=draw_places(cell, sample.target, sample.prediction, limits=limits, **options))


def _with_words(sample: Sample, table: Table, rows: np.ndarray, column: str) -> Sample:
    """The sample with its words and their tags."""
    cell = table.frame[column].iat[rows[sample.position]]
    return replace(sample, marked=mark_text(cell, sample.target, sample.prediction))


def _with_attention(
    bundle: Bundle,
    table: Table,
    prepared: Mapping[str, Prepared],
    rows: np.ndarray,
    found: list[Sample],
    decoding: Decoding | None,
) -> list[Sample]:
    """The first samples of each kind with what their texts were written about, where their head says it."""
    network, shown = bundle.network, list(found)
    for name in network.outputs:
        head = network.head(name)
        if not (offers(head, ShowsAttention) and head.attends):
            continue
        kinds = [(sample.worst, sample.best) if sample.output == name else None for sample in found]
        chosen = [at for at, kind in enumerate(kinds) if kind and kinds[:at].count(kind) < LOOKED]
        numbers = rows[[found[at].position for at in chosen]]
        said = attend(network, make_rows(prepared, len(table)), name, numbers=numbers, decoding=decoding)
        for at, one in zip(chosen, said, strict=True):
            shown[at] = replace(found[at], looked=view_attention(bundle, table, one.row, one))
    return shown


def _show_row(bundle: Bundle, table: Table, rows: np.ndarray, position: int) -> dict[str, CellPreview]:
    limits = Limits(**bundle.recipe.data.limits.model_dump())
    row = table.frame.iloc[rows[position]]
    kinds = bundle.recipe.data.modalities
    return {
        column: preview_cell(kind, row[column], table.root, limits, limits.characters) for column, kind in kinds.items()
    }


def input_facts(recipe: Recipe) -> dict[str, str]:
    """Input -> its columns, modality and encoder, in words."""
    return {n: f"{', '.join(i.columns)} ({i.modality}: {i.named})" for n, i in recipe.inputs.items()}


def report_facts(bundle: Bundle, table: Table, name: str, notes: Sequence[str]) -> dict[str, Any]:
    """Facts of the model and the table for a report."""
    recipe = bundle.recipe
    return {
        "model": name,
        "table": table.name,
        "date": date.today().isoformat(),
        "inputs": input_facts(recipe),
        "preset": recipe.preset,
        "fusion": recipe.fusion.name,
        "seed": recipe.training.seed,
        "parameters": sum(p.numel() for p in bundle.network.parameters()),
        "versions": {"polyfuse": __version__, "torch": torch.__version__},
        "members": bundle.report.get("ensemble", {}),
        "notes": list(notes),
    }
