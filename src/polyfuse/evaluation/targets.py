"""What is known of each output after prediction: its true values beside what was said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from polyfuse.bundle import Bundle
from polyfuse.data.prepare import Prepared
from polyfuse.evaluation.outcome import Outcome
from polyfuse.records import Prediction


def outcomes_of(
    bundle: Bundle, prepared: Mapping[str, Prepared], rows: np.ndarray, found: dict[str, Prediction]
) -> dict[str, Outcome]:
    """What is known of each output after prediction over some rows."""
    return {
        output: Outcome(
            task=bundle.network.head(output).task,
            target=_targets(prepared[f"out:{output}"], rows),
            value=prediction.value,
            probabilities=prediction.extra.get("probabilities"),
            classes=bundle.transforms[f"out:{output}"].facts().get("classes"),
            scores=None if prediction.scores is None else prediction.scores.float().numpy(),
        )
        for output, prediction in found.items()
    }


def _targets(prepared: Prepared, rows: np.ndarray) -> list[Any]:
    """The true values in original labels and units; None where missing."""
    values = prepared.transform.decode(prepared.cells)  # type: ignore[attr-defined]
    return [values[k] if k >= 0 else None for k in prepared.index_RK[rows, 0]]
