"""Explanations in the terminal: a table per row and output, its parts with the greatest scores first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from polyfuse.evaluation.glossary import format_number, format_signed
from polyfuse.explain.attribution import Attribution
from polyfuse.explain.rows import Explanation, Explanations

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST = 12  # parts of one cell that are listed
BAR = 20  # characters


def render(found: Explanations) -> RenderableType:
    """All of them, one below the other."""
    from rich.console import Group

    return Group(*(_one(one) for one in found))


def _one(one: Explanation) -> RenderableType:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    said = f"{one.output} = {one.label}: " if one.label is not None else f"{one.output}: "
    head = Text(f"row {one.row}, {said}{format_number(one.score)}, and {format_number(one.base)} with no input")
    table = Table(box=box.SIMPLE, title=None)
    for name in ("of", "part", one.method, ""):
        table.add_column(name, overflow="fold", justify="right" if name == one.method else "left")
    for part in one.parts:
        most = max(float(np.abs(part.scores).max(initial=0)), 1e-12)
        for at in np.argsort(-np.abs(part.scores), kind="stable")[:MOST]:
            score = float(part.scores[at])
            bar = ("+" if score > 0 else "-") * round(BAR * abs(score) / most)
            table.add_row(Text(of(part)), Text(part_name(part, int(at))), format_signed(score), bar)
        if len(part.scores) > MOST:
            table.add_row(Text(of(part)), f"and {len(part.scores) - MOST} more", "", "")
    return Group(head, table, *(Text(f"note: {note}") for note in one.notes))


def of(part: Attribution) -> str:
    """Whose parts are scored: the column, and which of several media in its cell."""
    return f"{part.column} {part.slot + 1}" if part.slot else part.column or f"{part.kind}s".replace("ss", "s")


def part_name(part: Attribution, at: int) -> str:
    """What a part is called: a word, a column, a stretch of seconds, a patch by its middle."""
    if part.labels:
        return str(part.labels[at])
    span = part.spans[at]
    if len(span) == 4:
        left, top, right, bottom = (round(100 * end) for end in span)
        return f"x {left}-{right} %, y {top}-{bottom} %"
    return f"{span[0]:.2f} - {span[1]:.2f} s"
