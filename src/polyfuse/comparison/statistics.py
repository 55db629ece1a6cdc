"""Whether one method is better than another: paired bootstrap over rows, averaged over seeds, corrected by Holm.

Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 16; Holm, A simple sequentially rejective multiple
test procedure, Scandinavian Journal of Statistics 1979.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polyfuse.evaluation.judges import measure
from polyfuse.evaluation.outcome import Outcome
from polyfuse.metrics.intervals import resamples

REPLICATES = 2000


@dataclass(frozen=True)
class MethodMetric:
    """One method's metric, mean over its seeds.

    Args:
        by_seed: value on the rows as they are, per seed.
        replicates_R: mean over seeds on each resample of rows; the same rows for every method.
    """

    by_seed: tuple[float, ...]
    replicates_R: np.ndarray

    @property
    def value(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.by_seed))

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds, from two seeds on."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % percentile interval: how far the mean would move had other rows been drawn."""
        known = self.replicates_R[np.isfinite(self.replicates_R)]
        if len(known) < len(self.replicates_R) / 2 or not len(known):
            return None
        low, high = np.percentile(known, [2.5, 97.5])
        return float(low), float(high)


def measure_method(
    outcomes: Sequence[Outcome],
    metric: str,
    *,
    groups: Sequence[Hashable] | None = None,
    replicates: int = REPLICATES,
) -> MethodMetric:
    """The metric of one method.

    Args:
        outcomes: one per seed, on the same rows.
        groups: one per row; rows of a group (one sound shown in several rows) are resampled together.
    """
    rows = outcomes[0].judged()
    judged = None if groups is None else [groups[row] for row in rows]
    measures = [measure(outcome) for outcome in outcomes]
    whole = np.ones(len(rows))
    drawn = [
        np.mean([of(weights)[metric] for of in measures], axis=0)
        for weights in resamples(len(rows), replicates, 0, judged)
    ]
    return MethodMetric(tuple(float(of(whole)[metric]) for of in measures), np.concatenate(drawn))


def p_value(one: MethodMetric, other: MethodMetric) -> float | None:
    """Two-sided p of "both are equally good": how often resampled rows turn the difference around.

    Never 0: with R resamples the smallest is 2 / (R + 1). None where too few resamples have a value.
    """
    difference_R = one.replicates_R - other.replicates_R
    known = difference_R[np.isfinite(difference_R)]
    if len(known) < len(difference_R) / 2 or not len(known):
        return None
    below, above = (known <= 0).sum(), (known >= 0).sum()
    return float(min(1.0, 2 * (min(below, above) + 1) / (len(known) + 1)))


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """The same p-values, adjusted so that the chance of any false alarm among them stays at the level chosen."""
    known = sorted((name for name, p in p_values.items() if p is not None), key=lambda name: p_values[name] or 0.0)
    adjusted: dict[str, float | None] = dict.fromkeys(p_values)
    largest = 0.0
    for place, name in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - place) * (p_values[name] or 0.0)))
        adjusted[name] = largest
    return adjusted
