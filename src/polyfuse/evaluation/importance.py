"""Permutation importance: how much worse metrics become when a column is shuffled over the rows.

Breiman, Random forests, Machine Learning 2001; Fisher et al., All models are wrong, but many are useful, JMLR 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from polyfuse.data.prepare import Prepared, prepare
from polyfuse.data.tables import Table
from polyfuse.evaluation import glossary
from polyfuse.evaluation.judges import judge
from polyfuse.evaluation.outcome import Outcome, OutputReport
from polyfuse.evaluation.targets import make_outcomes, metric_weights
from polyfuse.model.bundle import Bundle
from polyfuse.model.inference import Decoding, Rules, apply_rules, predict
from polyfuse.model.prepare import columns_of, make_rows, read_options
from polyfuse.recipe.outputs import head_columns, piecewise_columns

SHUFFLES = 3


def column_importance(
    bundle: Bundle,
    table: Table,
    prepared: Mapping[str, Prepared],
    rows: np.ndarray,
    *,
    most: int = 500,
    seed: int = 0,
    rules: Rules | None = None,
    decoding: Decoding | None = None,
) -> list[dict[str, Any]]:
    """How much worse each output's headline metric becomes when one column is shuffled, the mean of three shuffles.

    Columns that say the same can each stand in for the other, so that both seem worth little.

    Args:
        prepared: ``in:NAME`` and ``out:NAME`` -> cells of the whole table.
        rows: row numbers to judge, of which at most ``most`` are drawn.
        seed: of the draw and the shuffles.
        rules: how classes are answered, where not by the rules of the heads.
        decoding: how heads make answers step by step, where not in their own way.

    Returns:
        The column worth most first: ``{"column", "inputs", "rows", OUTPUT: {"metric", "value", "drop", "spread"}}``; a
        drop above 0 is a loss whichever way the metric counts, ``spread`` the standard deviation over shuffles.
    """
    rng = np.random.default_rng(seed)
    some = np.sort(rng.permutation(rows)[:most])
    small = table.select(some)
    cells = {name: replace(one, index_RK=one.index_RK[some], broken=[], unseen=[]) for name, one in prepared.items()}
    full = _evaluate(bundle, small, cells, rules, decoding)
    reads: dict[str, list[str]] = {}
    for name, item in bundle.recipe.inputs.items():
        for column in item.columns:
            reads.setdefault(column, []).append(name)
    for name, own in head_columns(bundle.recipe).items():
        for column in own if name not in piecewise_columns(bundle.recipe) else ():
            reads.setdefault(column, []).append(f"head of {name}")
    found = []
    for column, inputs in reads.items():
        orders = [rng.permutation(len(some)) for _ in range(SHUFFLES)]
        mixed = (_shuffle_column(bundle, small, cells, column, order) for order in orders)
        shuffled = [_evaluate(bundle, small, one, rules, decoding) for one in mixed]
        worth = {
            output: _loss_by_shuffling(report, [one[output] for one in shuffled]) for output, report in full.items()
        }
        found.append({"column": column, "inputs": inputs, "rows": len(some), **worth})
    first = next(iter(full))
    return sorted(found, key=lambda row: -(row[first]["drop"] or 0.0))


def _loss_by_shuffling(full: OutputReport, shuffled: list[OutputReport]) -> dict[str, Any]:
    metric = full.headline[0]
    value, sign = full.metrics[metric], 1 if glossary.term(metric).higher else -1
    others = [report.metrics[metric] for report in shuffled]
    drops = [sign * (value - other) for other in others if value is not None and other is not None]
    drop, spread = (float(np.mean(drops)), float(np.std(drops))) if drops else (None, None)
    return {"metric": metric, "value": value, "drop": drop, "spread": spread}


def _evaluate(
    bundle: Bundle, table: Table, cells: Mapping[str, Prepared], rules: Rules | None, decoding: Decoding | None
) -> dict[str, OutputReport]:
    said = predict(bundle.network, make_rows(cells, len(table), bundle.recipe), decoding=decoding)
    found = apply_rules(bundle.network, said, rules or {})
    weights = metric_weights(bundle.recipe, table, np.arange(len(table)))
    outcomes: dict[str, Outcome] = make_outcomes(bundle, cells, np.arange(len(table)), found, weights)
    return {output: judge(outcome, bootstrap=0) for output, outcome in outcomes.items()}


def _shuffle_column(
    bundle: Bundle, table: Table, cells: Mapping[str, Prepared], column: str, order: np.ndarray
) -> dict[str, Prepared]:
    """The cells with those of one column in another order."""
    made = dict(cells)
    kept = {
        f"own:{output}" for output in piecewise_columns(bundle.recipe)
    }  # as many words as tags, and places in the pixels of the row's own picture
    for name, columns in columns_of(bundle.recipe).items():
        if name.startswith("out:") or column not in columns or name in kept:
            continue
        transform = cells[name].transform
        if transform.joint:
            frame = table.frame.assign(**{column: table.frame[column].iloc[order].to_numpy()})
            made[name] = prepare(transform, frame, columns, read_options(bundle.recipe, table))
        else:
            index_RK, slot = cells[name].index_RK.copy(), list(columns).index(column)
            index_RK[:, slot] = index_RK[order, slot]
            made[name] = replace(cells[name], index_RK=index_RK)
    return made
