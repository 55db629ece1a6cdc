"""Percentile bootstrap intervals (Efron, 1979): how far a metric would move had other rows been drawn.

Rows are resampled by counting how often each is drawn, and metrics take those counts as weights, so a thousand
resamples cost a few matrix products. With ``groups``, whole groups (speakers, patients) are drawn: rows of one group
are alike, and resampling them one by one would give intervals that are too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

Interval = tuple[float, float]
Measure = Callable[[np.ndarray], dict[str, np.ndarray]]

CHUNK = 2**19  # weights made at a time: 4 MB, so that memory does not grow with the number of resamples
BUDGET = 5 * 10**7  # weights touched in all, some seconds; beyond it fewer resamples are drawn
FEWEST = 200  # resamples drawn at least; a metric of many passes that cannot afford them gets no interval


def resamples(rows: int, replicates: int, seed: int = 0, groups: Sequence[Hashable] | None = None) -> Iterator:
    """Row counts of bootstrap resamples, in chunks of shape (some, rows) that add up to ``replicates``.

    Args:
        groups: one per row; rows of a group are drawn together.
    """
    rng = np.random.default_rng(seed)
    codes_N = np.arange(rows) if groups is None else group_codes(groups)
    units = int(codes_N.max()) + 1
    step = max(1, CHUNK // rows)
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        drawn = rng.integers(units, size=(size, units)) + units * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)[:, codes_N].astype(float)


def group_codes(groups: Sequence[Hashable]) -> np.ndarray:
    """Number the groups from 0 in the order in which they appear."""
    codes: dict[Hashable, int] = {}
    return np.array([codes.setdefault(group, len(codes)) for group in groups], dtype=np.int64)


def bootstrap(
    measure: Measure,
    rows: int,
    *,
    replicates: int = 1000,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
    work: int = 1,
) -> dict[str, Interval]:
    """95 % intervals of the metrics that ``measure`` gives for row weights (R, N).

    Where every row is right, so is every resample: the interval is then a point and says nothing.

    Args:
        measure: weights (R, N) -> name -> values (R,).
        work: passes over the weights that ``measure`` makes, such as one per class; costly ones get fewer resamples.

    Returns:
        name -> (low, high). Metrics undefined in more than half of the resamples are left out; all are when there
        are fewer than two rows or groups, or too much work.
    """
    units = rows if groups is None else len(set(groups))
    affordable = BUDGET // (max(1, rows) * work)
    if units < 2 or replicates < 1 or (work > 1 and affordable < min(replicates, FEWEST)):
        return {}
    replicates = min(replicates, max(affordable, FEWEST))
    chunks = [measure(weights) for weights in resamples(rows, replicates, seed, groups)]
    values = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    return {name: _percentiles(v) for name, v in values.items() if np.isfinite(v).mean() > 0.5}


def _percentiles(values: np.ndarray) -> Interval:
    low, high = np.percentile(values[np.isfinite(values)], [2.5, 97.5])
    return float(low), float(high)
