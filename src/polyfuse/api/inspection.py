"""Inspect a table: the modality and role of each column, and its broken cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyfuse.data.inputs import modality_overrides, parse_input
from polyfuse.data.modalities import infer_columns, inspect_rows
from polyfuse.data.names import as_name_list
from polyfuse.data.tables import read_table
from polyfuse.evaluation import terminal
from polyfuse.evaluation.rendering import as_html
from polyfuse.recipe.build import Names

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, repr=False)
class Inspection:
    """Result of ``inspect``: number of rows, a dictionary per column, its broken cells among it, and notes."""

    rows: int
    columns: list[dict[str, Any]]
    notes: list[str]

    def __repr__(self) -> str:
        shown = ", ".join(f"{column['column']}: {column['modality']}" for column in self.columns[:SHOWN])
        more = f" and {len(self.columns) - SHOWN} more" if len(self.columns) > SHOWN else ""
        return f"Inspection({self.rows:,} rows; {shown}{more}; {len(self.notes)} notes)"

    def __rich__(self) -> RenderableType:
        return terminal.render_columns(self.rows, self.columns, self.notes)

    def _repr_html_(self) -> str:
        return as_html(self)


SHOWN = 12  # columns that the short form of an inspection names


def inspect(
    table: Any, *, inputs: Names = (), where: str | None = None, media_root: str | Path | None = None
) -> Inspection:
    """Infer the modality and role of each column of a table, and why.

    Args:
        inputs: ``COL=MODALITY`` overrides.
    """
    table = read_table(table, media_root=media_root, where=where)
    columns = infer_columns(table, modality_overrides(map(parse_input, as_name_list(inputs))))
    return Inspection(len(table), inspect_rows(columns, table.origin), table.notes)
