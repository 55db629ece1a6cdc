"""The evaluation report: everything found out about a model on a table, as JSON, as a page, or in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from polyfuse.evaluation import html, terminal
from polyfuse.evaluation.folds import Folds
from polyfuse.evaluation.outcome import OutputReport, plain
from polyfuse.evaluation.samples import Sample

Broken = Mapping[str, Sequence[dict[str, Any]] | int]


@dataclass(frozen=True)
class Report:
    """How good a model is on a table. ``rich.print(report)`` shows it in the terminal.

    Args:
        rows: number of rows of the table.
        outputs: output name -> what its judge found.
        broken: column -> its unreadable cells, each ``{"row", "file", "reason"}``, or just their number.
        missing_modality: rows of ``missing_table``; empty when the model has a single input.
        samples: rows to show on the page.
        meta: facts of the model and the data, such as ``model``, ``table``, ``date``, ``seed``, ``parameters``,
            ``versions``; and ``notes``, a list of sentences that the reader must know.
        folds: of a cross-validation, whose rows all models together judged.
    """

    rows: int
    outputs: dict[str, OutputReport]
    broken: Broken = field(default_factory=dict)
    missing_modality: list[dict[str, Any]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    folds: Folds | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, undefined numbers None; ``json.dumps(..., allow_nan=False)`` takes it as it is."""
        folds = {} if self.folds is None else {"folds": plain(self.folds.to_json())}
        return {
            "rows": self.rows,
            "broken": plain(self.broken),
            "outputs": {name: output.to_json() for name, output in self.outputs.items()},
            **folds,
            "missing_modality": plain(self.missing_modality),
            "meta": plain(self.meta),
        }

    def to_html(self, path: str | Path) -> Path:
        """Write one self-contained page: it loads nothing, runs no script, and can be sent by mail.

        Returns:
            The path written.
        """
        return html.written(path, html.page(self))

    def __rich__(self) -> RenderableType:
        return terminal.render(self)
