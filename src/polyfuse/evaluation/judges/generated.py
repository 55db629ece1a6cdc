"""Shared by the judges of generated pictures and sounds: metrics of features, and a note on low variety."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyfuse.evaluation.glossary import format_value
from polyfuse.metrics.generated import match, variety
from polyfuse.metrics.weighted import ratio

SAME = 0.05  # variety below which the reader is told


def match_scores(made: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> np.ndarray:
    """Of each row, the share of other references that are farther from what was made than its own (N,)."""
    return match(np.stack(made), np.stack(real))


def variety_share(made: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> float:
    """Variance of what was made as a share of that of the references."""
    return variety(np.stack(made), np.stack(real))


def mean_metrics(of_rows: dict[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Metric -> its mean (R,) over rows that have it, under weights of the rows (R, N)."""
    found = {}
    for name, values_N in of_rows.items():
        known_N = np.isfinite(values_N)
        found[name] = ratio(weights @ np.where(known_N, values_N, 0.0), weights @ known_N)
    return found


def note_sameness(share: float, what: str) -> list[str]:
    """A note where nearly the same is made of all rows."""
    if not share < SAME:
        return []
    return [
        f"ALARM: the {what} made vary {format_value('variety', share)} as much as the references: nearly the same "
        "comes of all rows, so that the model does not look at its inputs."
    ]
