"""Contribution of each input: Shapley values over present inputs, from a predict function alone, in plain NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyfuse.explain.attribution import find_label
from polyfuse.metrics.shapley import EXACT, PERMUTATIONS, Shapley, Value, shapley
from polyfuse.runtime.servant import InputFacts, Record, Servant

__all__ = ["EXACT", "PERMUTATIONS", "Contribution", "Shapley", "Value", "contributions", "shapley"]


@dataclass(frozen=True)
class Contribution:
    """What each input brought to what a model says of one row and output.

    Args:
        output: its name.
        label: whose probability it is, where the output has classes.
        values: input -> contribution; they add up to ``score - base``. An input that the row misses has 0.
        score: what the model says with every input.
        base: what it says with none.
        errors: input -> standard error of the contribution; 0 where all subsets were asked.
        missing: inputs that the row misses.
    """

    output: str
    label: Any
    values: dict[str, float]
    score: float
    base: float
    errors: dict[str, float]
    missing: tuple[str, ...] = ()


def contributions(
    servant: Servant,
    records: Sequence[Record],
    *,
    output: str | None = None,
    label: Any = None,
    exact: int = EXACT,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[dict[str, Contribution]]:
    """For each row, output -> what each of its inputs brought.

    Args:
        servant: any model; asked for its ``scores`` alone, and once for every subset of inputs.
        records: the rows.
        output: that one alone; all that have scores by default.
        label: the class whose probability is explained; by default that with the highest, row by row.
        exact, permutations, seed: as for ``shapley``.

    Raises:
        ValueError: no such output, one without scores, or no such label.
    """
    names = list(servant.inputs)
    asked = servant.outputs if output is None else _one(servant, output)
    kept: dict[str, tuple[int, int, int]] = {}

    def value(subsets: Sequence[frozenset[str]]) -> np.ndarray:
        found = {name: own for name, own in servant.scores(records, subsets).items() if name in asked}
        if not found:
            raise ValueError(_unscored(servant, output))
        at = 0
        for name, own_SNC in found.items():
            kept[name] = (at, at + own_SNC.shape[2], own_SNC.shape[2])
            at += own_SNC.shape[2]
        return np.concatenate(list(found.values()), axis=2)

    if not records:
        return []
    made = shapley(value, names, exact=exact, permutations=permutations, seed=seed)
    if label is not None and output is None and len(kept) > 1:
        raise ValueError(f"label {label!r}: name the output that has it; outputs: {', '.join(kept)}")
    found = []
    for row, record in enumerate(records):
        missing = tuple(name for name in names if is_missing_input(servant.inputs[name], record))
        if len(missing) == len(names):
            raise ValueError(f"row {row}: every input is missing, so there is nothing to explain; fill {names[0]!r}")
        own = {}
        for name, (start, stop, _) in kept.items():
            labels = servant.outputs[name].labels
            at = start + find_label(name, labels, label, made.all[row, start:stop])
            values = {one: float(made.values[n, row, at]) for n, one in enumerate(names)}
            errors = {one: float(made.error[n, row, at]) for n, one in enumerate(names)}
            gone = dict.fromkeys(missing, 0.0)
            said = labels[at - start] if len(labels) else None
            score, base = float(made.all[row, at]), float(made.none[row, at])
            own[name] = Contribution(name, said, values | gone, score, base, errors | gone, missing)
        found.append(own)
    return found


def is_missing_input(facts: InputFacts, record: Record) -> bool:
    """Whether a row has no cell at all for an input."""
    return all(_blank(record.get(column)) for column in facts.columns)


def _blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and np.isnan(cell)) or (isinstance(cell, list) and not cell)


def _one(servant: Servant, output: str) -> dict[str, Any]:
    if output not in servant.outputs:
        raise ValueError(f"unknown output {output!r}. Known: {', '.join(servant.outputs) or 'none'}.")
    return {output: servant.outputs[output]}


def _unscored(servant: Servant, output: str | None) -> str:
    what = "no output" if output is None else f"output {output!r} ({servant.outputs[output].head})"
    return (
        f"{what} has scores to explain: expected classes, labels, ranks or numbers, not texts, tags, events, pictures "
        "or sounds"
    )
