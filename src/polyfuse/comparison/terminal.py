"""A comparison in the terminal: fusions by their metric, then each input alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from polyfuse.evaluation import glossary

if TYPE_CHECKING:
    from polyfuse.comparison.findings import Comparison, Line


def p_text(value: float | None) -> str:
    """A p-value in three digits; nothing where there is none."""
    if value is None:
        return glossary.NOTHING
    return "< .001" if value < 0.001 else f"{value:.3f}"


def render(comparison: Comparison) -> RenderableType:
    """A table, what the columns mean, and notes."""
    metric = comparison.metric
    inputs = [line.name for line in comparison.single]
    table = Table(box=box.SIMPLE, title=_title(comparison), title_justify="left")
    table.add_column("fusion")
    headers = (glossary.term(metric).title, "95 %", "p single", "p concat", *(f"no {n}" for n in inputs), "noise")
    for header in (*headers, "params", "train s", "ms"):
        table.add_column(header, justify="right")
    for line in comparison.fusions:
        _add(table, line, metric, inputs, line.name == comparison.best)
    table.add_section()
    for line in comparison.single:
        _add(table, line, metric, inputs, False)
    notes = [f"[yellow]note:[/yellow] {escape(str(note))}" for note in comparison.meta.get("notes", [])]
    against = comparison.meta["against"]
    said = f"[dim]p: paired bootstrap against {against} alone and against concat, Holm-corrected[/dim]"
    best = f"best on validation: [bold]{comparison.best}[/bold]" if comparison.best else "no validation rows"
    return Group(table, said, best, *notes)


def _title(comparison: Comparison) -> str:
    meta = comparison.meta
    rows = glossary.counted(meta["rows"]["test"], "test row")
    return f"{comparison.output}: {glossary.term(comparison.metric).title}, {rows}"


def _add(table: Table, line: Line, metric: str, inputs: list[str], best: bool) -> None:
    if line.found is None:
        table.add_row(escape(line.name), f"[dim]refused: {escape(str(line.refused))}[/dim]")
        return
    cells = [
        glossary.written(metric, line.found.value),
        glossary.written_interval(metric, line.found.interval),
        p_text(line.p_single) if line.completed else "stopped",
        p_text(line.p_concat) if line.completed else "early",
        *(glossary.written(metric, line.without.get(name)) for name in inputs),
        glossary.written(metric, line.mean("noise")),
        f"{line.mean('parameters') or 0:,.0f}",
        f"{line.mean('train_seconds') or 0:.1f}",
        f"{line.mean('predict_ms') or 0:.2f}",
    ]
    table.add_row(escape(line.name), *cells, style="bold" if best else None if line.completed else "dim")
