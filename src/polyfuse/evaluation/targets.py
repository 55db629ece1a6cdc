"""Joins targets with predictions into one ``Outcome`` per output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from polyfuse.contracts import says
from polyfuse.data.prepare import Prepared
from polyfuse.data.tables import Table
from polyfuse.evaluation.outcome import Outcome
from polyfuse.model.bundle import Bundle
from polyfuse.model.prepare import sample_weights
from polyfuse.recipe import Recipe
from polyfuse.recipe.outputs import head_columns, picture_columns
from polyfuse.records import Prediction


def make_outcomes(
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
            target=true_values(prepared[f"out:{output}"], rows),
            value=prediction.value,
            probabilities=prediction.extra.get("probabilities"),
            classes=bundle.transforms[f"out:{output}"].facts().get("classes"),
            scores=None if prediction.scores is None else prediction.scores.float().numpy(),
            weights=weights,
            metric=says(bundle.network.head(output), "metric"),
            reads=input_modalities(bundle.recipe),
            decoding=_decoding(says(bundle.network.head(output), "decoding"), prediction),
        )
        for output, prediction in found.items()
    }


def metric_weights(recipe: Recipe, table: Table, rows: np.ndarray) -> np.ndarray | None:
    """The weights of some rows in metrics, where the recipe wants any.

    Raises:
        ValueError: a row without a weight, or no column of weights.
    """
    if not recipe.data.weighted_metrics:
        return None
    weights = sample_weights(recipe, table, rows)
    return None if weights is None else weights[rows]


def note_unlabelled(bundle: Bundle, table: Table, prepared: Mapping[str, Prepared], rows: np.ndarray) -> list[str]:
    """A note per output that has no target in any row.

    Raises:
        ValueError: no output has one, so that there is nothing to judge.
    """
    chosen = set(rows.tolist())
    empty = [
        output
        for output in bundle.recipe.outputs
        if (prepared[f"out:{output}"].index_RK[rows, 0] < 0).all()
        and not any(b.unseen and b.row in chosen for b in prepared[f"out:{output}"].broken)
    ]
    columns = ", ".join(repr(bundle.recipe.outputs[output].column) for output in empty)
    if empty and len(empty) == len(bundle.recipe.outputs):
        raise ValueError(
            f"{table.name}: none of the {len(rows):,} rows has a value of {columns}, so there is nothing to judge; "
            "predict (polyfuse predict) answers rows whose values are not known"
        )
    return [f"output {output!r} is not judged: no row has a value of it" for output in empty]


def input_modalities(recipe: Recipe) -> tuple[str, ...]:
    """What the inputs of a model hold, each once, and text where a head reads columns itself."""
    found = [str(item.modality) for item in recipe.inputs.values()]
    return tuple(
        dict.fromkeys([*found, *(["text"] if set(head_columns(recipe)) - set(picture_columns(recipe)) else [])])
    )


def _decoding(settings: Mapping[str, Any], prediction: Prediction) -> dict[str, Any]:
    """How answers were made: the head's settings, and what the prediction says of single rows where it is one thing."""
    said = list(dict.fromkeys(map(str, prediction.extra.get("decoding", []))))
    return {**settings, **({"by": ", ".join(said)} if said else {})}


def true_values(prepared: Prepared, rows: np.ndarray) -> list[Any]:
    """The true values in original labels and units; None where missing."""
    values = prepared.transform.decode(prepared.cells)  # type: ignore[attr-defined]
    return [values[k] if k >= 0 else None for k in prepared.index_RK[rows, 0]]
