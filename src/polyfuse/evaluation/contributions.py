"""What each input brought to the answers that a report shows: Shapley values, from what was said with fewer inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from polyfuse.data.batches import Rows
from polyfuse.evaluation.missing import ALL_SUBSETS_UP_TO
from polyfuse.evaluation.outcome import Outcome
from polyfuse.evaluation.samples import Sample
from polyfuse.metrics.shapley import shapley
from polyfuse.model.inference import predict_subsets
from polyfuse.model.network import Network

Kept = Mapping[tuple[str, ...], Mapping[str, Outcome]]
"""Inputs that were present -> outcome of each output."""


def add_contributions(
    network: Network, network_rows: Rows, rows: np.ndarray, kept: Kept, found: Sequence[Sample]
) -> list[Sample]:
    """Samples with what each input brought to their answer, where the outcome with every subset of inputs is known.

    Args:
        rows: row numbers that were judged.
        kept: of these rows.
    """
    inputs = list(network.inputs)
    whole = next(iter(kept.values()))
    outputs = [name for name, own in whole.items() if own.probabilities is not None or own.task == "number"]
    outputs = [name for name in outputs if name in {sample.output for sample in found}]
    if not 2 <= len(inputs) <= ALL_SUBSETS_UP_TO or not outputs:
        return list(found)
    # with no input every row gets the same answer
    (nothing,) = predict_subsets(network, network_rows, [[]], numbers=rows[:1], outputs=outputs)

    def contributions(sample: Sample) -> dict[str, float]:
        name, at = sample.output, sample.position
        label = _label(whole[name], at, sample.prediction)

        def one(subset: frozenset[str]) -> float:
            if not subset:
                said = nothing[name]
                return _score(said.value, said.extra.get("probabilities"), 0, label)
            own = kept[tuple(i for i in inputs if i in subset)][name]
            return _score(own.value, own.probabilities, at, label)

        made = shapley(lambda subsets: np.array([one(subset) for subset in subsets]), inputs)
        return dict(zip(made.names, map(float, made.values), strict=True))

    return [
        replace(sample, contributions=contributions(sample)) if sample.output in outputs else sample for sample in found
    ]


def _label(outcome: Outcome, at: int, said: Any) -> int:
    """The class that is explained: what was said, or that with the highest probability."""
    if outcome.probabilities is None:
        return 0
    known = list(outcome.classes or [])
    return known.index(said) if said in known else int(np.argmax(outcome.probabilities[at]))


def _score(values: Sequence[Any], probabilities: Any, at: int, label: int) -> float:
    return float(values[at] if probabilities is None else probabilities[at][label])
