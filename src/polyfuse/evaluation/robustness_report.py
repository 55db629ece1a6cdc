"""What was found out about noise: curves for each input and output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from polyfuse.evaluation.curves import Curve, Headline
from polyfuse.evaluation.outcome import to_plain_json
from polyfuse.evaluation.rendering import RenderedPage


@dataclass(frozen=True)
class Noised:
    """One input under noise, or all together.

    Args:
        modality: of the input; None for all together.
        rows: judged rows that have the input: noise can touch no other.
        curves: output -> mean over the corruptions.
        by_corruption: corruption -> output -> curve; empty for all together, where each cell suffers one by chance.
    """

    modality: str | None
    rows: int
    curves: dict[str, Curve]
    by_corruption: dict[str, dict[str, Curve]]

    def to_json(self) -> dict[str, Any]:
        """See ``RobustnessReport.to_json``."""
        outputs = {}
        for output, curve in self.curves.items():
            each = {name: curves[output].to_json() for name, curves in self.by_corruption.items()}
            outputs[output] = {**curve.to_json(), "by_corruption": each}
        return {"modality": self.modality, "rows": self.rows, "outputs": outputs}


@dataclass(frozen=True, repr=False)
class RobustnessReport(RenderedPage):
    """How much noise a model takes. ``rich.print(report)`` shows it in the terminal.

    Args:
        rows: number of rows judged.
        seed: of the noise.
        headlines: output -> its metric, clean value and baseline.
        inputs: input -> what noise in it does.
        together: noise in all of them at once.
        meta: as in ``Report``.
    """

    rows: int
    seed: int
    headlines: dict[str, Headline]
    inputs: dict[str, Noised]
    together: Noised
    meta: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        judged = ", ".join(f"{name}: {headline.metric}" for name, headline in self.headlines.items())
        return f"RobustnessReport({self.rows:,} rows; {judged}; noise in {', '.join(self.inputs)})"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, undefined numbers None; every number as measured, on no scale but the metric's own.

        Shape::

            {"rows": 497, "seed": 0,
             "outputs": {OUTPUT: {"metric": "accuracy", "higher_is_better": true, "clean": 0.93,
                                  "clean_ci": [0.91, 0.95], "baseline": {"name": "always '3'", "value": 0.1}}},
             "inputs": {INPUT: {"modality": "image", "rows": 480, "outputs": {OUTPUT: CURVES}}},
             "together": {"modality": null, "rows": 497, "outputs": {OUTPUT: CURVES}},
             "meta": {"model": ..., "notes": [...]}}

        CURVES is ``{"area", "retention", "points", "by_corruption": {NAME: {"area", "retention", "points"}}}``, points
        ``[{"severity": 0.0, "value": 0.93, "ci": [0.91, 0.95]}, ...]`` from severity 0 on; ``ci`` may be null.
        ``area`` and ``retention`` are defined in ``evaluation.curves``.
        """
        return to_plain_json(
            {
                "rows": self.rows,
                "seed": self.seed,
                "outputs": {name: headline.to_json() for name, headline in self.headlines.items()},
                "inputs": {name: found.to_json() for name, found in self.inputs.items()},
                "together": self.together.to_json(),
                "meta": self.meta,
            }
        )
