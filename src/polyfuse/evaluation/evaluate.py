"""Judging a model on rows of a table: metrics, missing modalities, rows to look at, and what could not be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch

from polyfuse import __version__
from polyfuse.bundle import Bundle
from polyfuse.data.cells.source import Limits
from polyfuse.data.prepare import Broken, Prepared
from polyfuse.data.tables import Table
from polyfuse.evaluation.folds import Folds
from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.missing import missing_table, subsets
from polyfuse.evaluation.outcome import Outcome
from polyfuse.evaluation.report import Report
from polyfuse.evaluation.samples import Sample, samples
from polyfuse.evaluation.shown import Shown, show
from polyfuse.inference import predict_subsets
from polyfuse.reading import rows_of, weights_of
from polyfuse.recipe import Recipe
from polyfuse.records import Prediction

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
) -> Report:
    """Judge a model on some rows of a table.

    Args:
        prepared: ``in:NAME`` and ``out:NAME`` -> cells of the whole table.
        rows: row numbers to judge.
        name: what the report calls the model.
        notes: what the reader must know.
        unseen: ``error``, or ``skip`` to leave out rows whose label training never saw, and say so.

    Raises:
        ValueError: a label that was not seen in training, with ``unseen="error"``.
    """
    notes = [*notes, *unseen_labels(bundle, table, prepared, rows, unseen)]
    kept = outcomes_by_inputs(bundle, table, prepared, rows)
    return report_of(bundle, table, prepared, rows, kept, name=name, notes=notes)


def outcomes_by_inputs(bundle: Bundle, table: Table, prepared: Mapping[str, Prepared], rows: np.ndarray) -> Kept:
    """What is known of each output after prediction over some rows, with all inputs present and with fewer."""
    inputs = list(bundle.recipe.inputs)
    keeps = subsets(inputs) if len(inputs) > 1 else [tuple(inputs)]
    network_rows = rows_of(prepared, len(table), bundle.recipe)
    found = predict_subsets(bundle.network, network_rows, keeps, numbers=rows)
    weights = metric_weights(bundle.recipe, table, rows)
    outcomes = [outcomes_of(bundle, prepared, rows, one, weights) for one in found]
    return dict(zip(keeps, outcomes, strict=True))


def report_of(
    bundle: Bundle,
    table: Table,
    prepared: Mapping[str, Prepared],
    rows: np.ndarray,
    kept: Kept,
    *,
    name: str,
    notes: Sequence[str],
    folds: Folds | None = None,
) -> Report:
    """The report of what was said of some rows.

    Args:
        kept: inputs that were present -> outcome of each output, all inputs first.
        folds: how metrics differ from fold to fold, where folds judged.
    """
    inputs, outcomes = list(bundle.recipe.inputs), next(iter(kept.values()))
    groups = groups_of(bundle, table, rows)
    reports = {output: judge(outcome, groups=groups) for output, outcome in outcomes.items()}
    return Report(
        rows=len(rows),
        outputs=reports,
        broken=_broken(prepared, table, rows),
        missing_modality=missing_table(kept.__getitem__, inputs, groups=groups) if len(inputs) > 1 else [],
        samples=_samples(bundle, table, rows, outcomes, reports),
        meta=facts_of(bundle, table, name, notes),
        folds=folds,
    )


def groups_of(bundle: Bundle, table: Table, rows: np.ndarray) -> list[Any] | None:
    """Rows of one speaker or patient are not independent: the intervals resample them together."""
    group = bundle.recipe.data.group
    return table.frame[group].iloc[rows].astype(str).tolist() if group and group in table.frame else None


def unseen_labels(
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
                f"output {output!r}: {len(found)} rows have a label that training never saw; "
                f"{table.origin(found[0].row)}: {found[0].reason}. "
                "Leave those rows out with unseen='skip' (--unseen skip), or train with them."
            )
        if found:
            notes.append(f"{output}: {len(found)} rows left out, their labels were not seen in training")
    return notes


def metric_weights(recipe: Recipe, table: Table, rows: np.ndarray) -> np.ndarray | None:
    """The weights of some rows in metrics, where the recipe wants any.

    Raises:
        ValueError: a row without a weight, or no column of weights.
    """
    if not recipe.data.weighted_metrics:
        return None
    weights = weights_of(recipe, table, rows)
    return None if weights is None else weights[rows]


def outcomes_of(
    bundle: Bundle,
    prepared: Mapping[str, Prepared],
    rows: np.ndarray,
    found: dict[str, Prediction],
    weights: np.ndarray | None = None,
) -> dict[str, Outcome]:
    """What is known of each output after prediction over some rows, which may have weights."""
    return {
        output: Outcome(
            task=bundle.network.head(output).task,
            target=_targets(prepared[f"out:{output}"], rows),
            value=prediction.value,
            probabilities=prediction.extra.get("probabilities"),
            classes=bundle.transforms[f"out:{output}"].facts().get("classes"),
            scores=None if prediction.scores is None else prediction.scores.float().numpy(),
            weights=weights,
        )
        for output, prediction in found.items()
    }


def _targets(prepared: Prepared, rows: np.ndarray) -> list[Any]:
    """The true values in original labels and units; None where missing."""
    values = prepared.transform.decode(prepared.cells)  # type: ignore[attr-defined]
    return [values[k] if k >= 0 else None for k in prepared.index_RK[rows, 0]]


def _broken(prepared: Mapping[str, Prepared], table: Table, rows: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    chosen = set(rows.tolist())
    listed: dict[str, dict[int, Broken]] = {}
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
    return [
        sample
        for output, outcome in outcomes.items()
        for sample in samples(output, outcome, reports[output], show_row, rows=rows)
    ]


def _show_row(bundle: Bundle, table: Table, rows: np.ndarray, position: int) -> dict[str, Shown]:
    limits = Limits(**bundle.recipe.data.limits.model_dump())
    row = table.frame.iloc[rows[position]]
    kinds = bundle.recipe.data.modalities
    return {column: show(kind, row[column], table.root, limits) for column, kind in kinds.items()}


def input_facts(recipe: Recipe) -> dict[str, str]:
    """Input -> its columns, modality and encoder, in words."""
    return {n: f"{', '.join(i.columns)} ({i.modality}: {i.named})" for n, i in recipe.inputs.items()}


def facts_of(bundle: Bundle, table: Table, name: str, notes: Sequence[str]) -> dict[str, Any]:
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
