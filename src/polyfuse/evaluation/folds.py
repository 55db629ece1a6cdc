"""How metrics differ from fold to fold of a cross-validation: their mean and spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Folds:
    """Metrics of each fold, by a model that saw none of its rows.

    Args:
        rows: of each fold.
        metrics: output -> metric -> value in each fold, None where it is undefined there.
    """

    rows: list[int]
    metrics: dict[str, dict[str, list[float | None]]]

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Folds:
        """As ``to_json`` gave it."""
        outputs = found["outputs"]
        metrics = {o: {m: list(one["values"]) for m, one in by_metric.items()} for o, by_metric in outputs.items()}
        return cls(list(found["rows"]), metrics)

    def mean(self, output: str, metric: str) -> float | None:
        """Over the folds where it is defined."""
        known = self._known(output, metric)
        return float(np.mean(known)) if known else None

    def spread(self, output: str, metric: str) -> float | None:
        """Standard deviation over the folds where it is defined, two at least."""
        known = self._known(output, metric)
        return float(np.std(known, ddof=1)) if len(known) > 1 else None

    def _known(self, output: str, metric: str) -> list[float]:
        return [value for value in self.metrics[output].get(metric, []) if value is not None]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = {
            output: {
                metric: {"mean": self.mean(output, metric), "std": self.spread(output, metric), "values": values}
                for metric, values in by_metric.items()
            }
            for output, by_metric in self.metrics.items()
        }
        return {"count": len(self.rows), "rows": self.rows, "outputs": found}
