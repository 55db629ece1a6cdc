"""The table of a compression in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from polyfuse.errors import format_count
from polyfuse.evaluation import glossary

if TYPE_CHECKING:
    from polyfuse.compress.findings import Compression, Quality


def render(found: Compression) -> RenderableType:
    """A line per figure: before, after, and what that makes."""
    title = f"{found.name}: {found.method}, on {format_count(found.rows, 'row')} ({found.judged_as})"
    table = Table(box=box.SIMPLE, title=escape(title), title_justify="left")
    for header, justify in (("", "left"), ("before", "right"), ("after", "right"), ("", "right")):
        table.add_column(header, justify=justify)  # type: ignore[arg-type]
    before, after = found.before, found.after
    for name, old in before.outputs.items():
        new = after.outputs.get(name)
        label = f"{name}: {glossary.term(old.metric).title}"
        known = new is not None and None not in (old.value, new.value)
        apart = glossary.format_difference(old.metric, new.value - old.value) if known else ""  # type: ignore[union-attr, operator]
        table.add_row(escape(label), _quality(old), _quality(new), apart)
    table.add_row(
        "size on disk", *map(glossary.format_bytes, (before.size, after.size)), _times(before.size, after.size)
    )
    table.add_row(
        "parameters", f"{before.parameters:,}", f"{after.parameters:,}", _times(before.parameters, after.parameters)
    )
    if after.nonzero < 0.99 * after.parameters:
        table.add_row("  not 0", f"{before.nonzero:,}", f"{after.nonzero:,}", _times(before.nonzero, after.nonzero))
    for rows, old_ms in before.milliseconds.items():
        new_ms = after.milliseconds[rows]
        shown = (f"{value:.2f} ms" for value in (old_ms, new_ms))
        table.add_row(f"{format_count(rows, 'row')} on {found.device}", *shown, _times(old_ms, new_ms, "faster"))
    if before.memory is not None and after.memory is not None:
        memory = map(glossary.format_bytes, (before.memory, after.memory))
        table.add_row("peak memory, 16 rows", *memory, _times(before.memory, after.memory))
    said = [f"[dim]{escape(line)}[/dim]" for line in found.done]
    return Group(table, *said, *(f"[yellow]note:[/yellow] {escape(note)}" for note in found.notes))


def _quality(one: Quality | None) -> str:
    if one is None:
        return "gone"
    interval = glossary.format_interval(one.metric, one.interval)
    return glossary.format_value(one.metric, one.value) + (f" ({interval})" if interval else "")


def _times(old: float, new: float, word: str = "smaller") -> str:
    ratio = old / new if new else float("inf")
    if 0.995 < ratio < 1.005:
        return "the same"
    other = {"smaller": "larger", "faster": "slower"}[word]
    return f"{ratio:.2f}x {word}" if ratio > 1 else f"{1 / ratio:.2f}x {other}"
