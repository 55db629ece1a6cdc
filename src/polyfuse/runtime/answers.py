"""Scores of a graph -> answers in a column's own labels and units, as the heads make them in torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from polyfuse.runtime.servant import Answer

Told = Mapping[str, Any]
"""What a head says of how its scores are read: a ``form`` of ``FORMS``, and what that needs."""


def softmax(scores_BC: np.ndarray) -> np.ndarray:
    """Probabilities of logits, along the last axis."""
    away_BC = np.exp(scores_BC - scores_BC.max(-1, keepdims=True))
    return away_BC / away_BC.sum(-1, keepdims=True)


def _shared(scores_BC: np.ndarray, told: Told) -> np.ndarray:
    return softmax(scores_BC.astype(np.float32) / np.float32(told["temperature"]))


def _single(scores_BC: np.ndarray, told: Told) -> np.ndarray:  # noqa: ARG001 - one signature for all forms
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-scores_BC.astype(np.float32)))).astype(np.float32)


def _number(scores_B1: np.ndarray, told: Told) -> np.ndarray:
    """Numbers in their own units (B, 1), never far outside what training saw."""
    low, high = told["least"], told["most"]
    standard_B1 = np.clip(scores_B1.astype(np.float64), low, high)
    plain_B1, ends = _own_units(standard_B1, told), _own_units(np.array([low, high]), told)
    return np.clip(told["offset"] + told["slope"] * plain_B1, ends[0], ends[1])


def _own_units(standard: np.ndarray, told: Told) -> np.ndarray:
    plain = standard * told["spread"] + told["centre"]
    if told["log"] == "log":
        return np.exp(plain)
    return np.clip(np.expm1(plain), 0, None) if told["log"] == "log1p" else plain


def _best(probability_C: np.ndarray, told: Told) -> Answer:
    at = int((probability_C * np.array(told["rule"])).argmax())
    return _class(probability_C, at, told)


def _step(probability_C: np.ndarray, told: Told) -> Answer:
    """The median of the probabilities of an ordered scale, or their mode."""
    if told["answer"] == "mode":
        return _class(probability_C, int(probability_C.argmax()), told)
    below = int((probability_C.cumsum() < 0.5 - 1e-6).sum())
    return _class(probability_C, min(below, len(probability_C) - 1), told)


def _class(probability_C: np.ndarray, at: int, told: Told) -> Answer:
    labels = told["classes"]
    return Answer(labels[at], dict(zip(labels, probability_C.tolist(), strict=True)), float(probability_C[at]))


def _several(probability_C: np.ndarray, told: Told) -> Answer:
    labels, given_C = told["classes"], probability_C >= np.array(told["rule"])
    value = [label for label, given in zip(labels, given_C, strict=True) if given]
    return Answer(value, dict(zip(labels, probability_C.tolist(), strict=True)))


def _amount(value_1: np.ndarray, told: Told) -> Answer:  # noqa: ARG001
    value = float(value_1[0])
    return Answer(value if math.isfinite(value) else None)


FORMS: dict[str, tuple[Callable[[np.ndarray, Told], np.ndarray], Callable[[np.ndarray, Told], Answer]]] = {
    "class": (_shared, _best),
    "step": (_shared, _step),
    "labels": (_single, _several),
    "number": (_number, _amount),
}
"""Form -> scores (B, C) to probabilities or numbers (B, C), and those of a row to its answer."""
