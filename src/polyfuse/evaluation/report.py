"""The evaluation report: everything found out about a model on a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polyfuse.evaluation.folds import Folds
from polyfuse.evaluation.outcome import OutputReport, output_from_json, to_plain_json
from polyfuse.evaluation.rendering import RenderedPage
from polyfuse.evaluation.samples import Sample

Broken = Mapping[str, Sequence[dict[str, Any]] | int]


@dataclass(frozen=True, repr=False)
class Report(RenderedPage):
    """How good a model is on a table. ``rich.print(report)`` shows it in the terminal.

    Args:
        rows: number of rows of the table.
        outputs: output name -> what its judge found.
        broken: column -> its unreadable cells, each ``{"row", "file", "reason"}``, or just their number.
        missing_modality: rows of ``missing_table``; empty when the model has a single input.
        samples: rows to show on the page.
        alignment: findings of ``evaluate_retrieval``: how well each aligned input finds the others.
        meta: facts of the model and the data, such as ``model``, ``table``, ``date``, ``seed``, ``parameters``,
            ``versions``; and ``notes``, a list of sentences that the reader must know.
        folds: of a cross-validation, whose rows all models together judged.
        history: of each network that was trained, ``steps`` with the ``loss`` of training, and ``val_steps`` with
            ``val_loss`` and ``val_quality``; the page draws it.
        importance: rows of ``column_importance``, the column worth most first; empty where it was not asked for.
        seconds: where time went: ``reading``, ``encoding``, ``training``, ``judging``, those that were done.
    """

    rows: int
    outputs: dict[str, OutputReport]
    broken: Broken = field(default_factory=dict)
    missing_modality: list[dict[str, Any]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    alignment: list[dict[str, Any]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    folds: Folds | None = None
    history: list[dict[str, list[float | None]]] = field(default_factory=list, repr=False)
    seconds: dict[str, float] = field(default_factory=dict)
    importance: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Report:
        """A report as ``to_json`` gave it, such as the one that is saved with a model: all but single rows."""
        outputs = {name: output_from_json(one) for name, one in found["outputs"].items()}
        parts: dict[str, Any] = {n: list(found.get(n, [])) for n in ("missing_modality", "alignment", "importance")}
        parts |= {name: dict(found.get(name, {})) for name in ("broken", "meta", "seconds")}
        parts["folds"] = Folds.from_json(found["folds"]) if "folds" in found else None
        return cls(found["rows"], outputs, **parts)

    def __repr__(self) -> str:
        judged = "; ".join(f"{name}: {output!r}" for name, output in self.outputs.items())
        notes = len(self.meta.get("notes", []))
        return f"Report({self.rows:,} rows; {judged}; {notes} notes; print it with rich, or to_html(path))"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, undefined numbers None; ``json.dumps(..., allow_nan=False)`` takes it as it is."""
        folds = {} if self.folds is None else {"folds": to_plain_json(self.folds.to_json())}
        return {
            "rows": self.rows,
            "broken": to_plain_json(self.broken),
            "outputs": {name: output.to_json() for name, output in self.outputs.items()},
            **folds,
            "missing_modality": to_plain_json(self.missing_modality),
            "alignment": to_plain_json(self.alignment),
            "importance": to_plain_json(self.importance),
            "seconds": to_plain_json(self.seconds),
            "meta": to_plain_json(self.meta),
        }
