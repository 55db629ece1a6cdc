"""A comparison in the terminal: fusions by their metric, then each input alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from polyfuse.errors import format_count
from polyfuse.evaluation import glossary

if TYPE_CHECKING:
    from polyfuse.comparison.findings import Comparison

Column = tuple[str, Callable[[Any], str]]  # a header, and what a line says under it
WIDEST = 1000


def p_text(value: float | None) -> str:
    """A p-value in three digits; nothing where there is none."""
    if value is None:
        return glossary.NOTHING
    return "< .001" if value < 0.001 else f"{value:.3f}"


def render(comparison: Comparison) -> RenderableType:
    """A table, what the columns mean, and notes."""
    refused = [f"{line.name} is refused: {line.refused}" for line in comparison.fusions if line.found is None]
    queries = {line.name: line.runs[0].query for line in comparison.fusions if line.runs}
    asking = [f"{name} asks from {query}" for name, query in queries.items() if query]
    found = [*refused, *([", ".join(asking)] if asking else []), *comparison.meta.get("notes", [])]
    notes = [f"[yellow]note:[/yellow] {escape(str(note))}" for note in found]
    against = f"{comparison.meta['against']} alone and against " if comparison.single else ""
    said = f"[dim]p: paired bootstrap against {against}{comparison.base}, Holm-corrected[/dim]"
    best = f"best on validation: [bold]{comparison.best}[/bold]" if comparison.best else "no validation rows"
    return Group(_Findings(comparison), said, best, *notes)


class _Findings:
    """One wide table, or where the terminal is too narrow for it, one under the other: quality, what harms, cost."""

    def __init__(self, comparison: Comparison):
        self.comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        groups = _columns(self.comparison)
        whole = _table(self.comparison, [column for group in groups for column in group])
        if Measurement.get(console, options.update(max_width=WIDEST), whole).maximum <= options.max_width:
            yield whole
            return
        for at, group in enumerate(groups):
            yield _table(self.comparison, group, titled=at == 0)


def _columns(comparison: Comparison) -> list[list[Column]]:
    """Headers with what stands under them, for a line whose runs are there, in three groups."""
    metric, inputs = comparison.metric, [line.name for line in comparison.single]
    quality: list[Column] = [
        (glossary.term(metric).title, lambda line: glossary.format_value(metric, line.found.value)),
        ("95 %", lambda line: glossary.format_interval(metric, line.found.interval)),
        *([("p single", lambda line: p_text(line.p_single) if line.completed else "stopped")] if inputs else []),
        (f"p {comparison.base}", lambda line: p_text(line.p_concat) if line.completed else "early"),
    ]
    harm: list[Column] = [
        *((f"no {n}", lambda line, n=n: glossary.format_value(metric, line.without.get(n))) for n in inputs),
        ("noise", lambda line: glossary.format_value(metric, line.mean("noise"))),
    ]
    cost: list[Column] = [
        ("params", lambda line: f"{line.mean('parameters') or 0:,.0f}"),
        ("train s", lambda line: f"{line.mean('train_seconds') or 0:.1f}"),
        ("ms", lambda line: f"{line.mean('predict_ms') or 0:.2f}"),
    ]
    return [quality, harm, cost] if inputs else [quality, cost]


def _table(comparison: Comparison, columns: Sequence[Column], *, titled: bool = True) -> Table:
    table = Table(box=box.SIMPLE, title=_title(comparison) if titled else None, title_justify="left")
    table.add_column(comparison.kind, no_wrap=True)
    for header, _ in columns:
        table.add_column(header, justify="right")
    for line in [*comparison.fusions, *comparison.single]:
        if comparison.single and line is comparison.single[0]:
            table.add_section()
        if line.found is None:
            table.add_row(escape(line.name), "[dim]refused[/dim]")
            continue
        bold = line in comparison.fusions and line.name == comparison.best
        style = "bold" if bold else None if line.completed else "dim"
        table.add_row(escape(line.name), *(written(line) for _, written in columns), style=style)
    return table


def _title(comparison: Comparison) -> str:
    meta = comparison.meta
    rows = format_count(meta["rows"]["test"], "test row")
    return f"{comparison.output}: {glossary.term(comparison.metric).title}, {rows}"
