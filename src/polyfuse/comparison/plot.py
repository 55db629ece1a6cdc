"""The metric of every fusion and single input against what its training cost, as inline SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from polyfuse.evaluation.figures import ACCENT, INK, LINE, WARN, apart, frame, short, svg
from polyfuse.evaluation.glossary import term

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from polyfuse.comparison.findings import Comparison, Line

SIZE = (8.2, 6.4)
GAP = 0.034  # between names, of the height


def cost(comparison: Comparison) -> str:
    """A point per line with its interval; names at the right, joined to their points."""
    figure, axes, _ = frame(size=SIZE)
    figure.subplots_adjust(left=0.09, right=0.76, top=0.98, bottom=0.09)
    shown = [line for line in [*comparison.fusions, *comparison.single] if line.found is not None]
    points = [_point(axes, line, _colour(comparison, line)) for line in shown]
    axes.set_xscale("log")
    axes.set(xlabel="seconds of one training", ylabel=term(comparison.metric).title)
    axes.xaxis.set_major_formatter(lambda v, _: short(v))
    axes.xaxis.set_minor_formatter(lambda v, _: short(v) if len(str(f"{v:g}").strip("0.")) == 1 else "")
    axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %" if term(comparison.metric).percent else short(v))
    if term(comparison.metric).percent:
        axes.set_ylim(top=min(axes.get_ylim()[1], 1.02))
    _name(axes, points)
    return svg(figure, f"{comparison.output} against seconds of training")


def _colour(comparison: Comparison, line: Line) -> str:
    if line in comparison.single:
        return WARN
    return ACCENT if line.name == comparison.best else INK


def _point(axes: Axes, line: Line, colour: str) -> tuple[float, float, str, str]:
    assert line.found
    x, y = max(line.mean("train_seconds") or 0.0, 1e-2), line.found.value
    if line.found.interval:
        low, high = line.found.interval
        axes.vlines(x, low, high, color=colour, linewidth=1, alpha=0.45)
    axes.scatter([x], [y], s=34, color=colour, zorder=3, alpha=1.0 if line.completed else 0.35)
    return x, y, line.name, colour


def _name(axes: Axes, points: list[tuple[float, float, str, str]]) -> None:
    axes.set_xlim(axes.get_xlim())
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    points = sorted(points, key=lambda point: point[1])
    true = [(y - low) / (high - low) for _, y, _, _ in points]
    left, right = np.log10(axes.get_xlim())
    for at, place, (x, _, name, colour) in zip(true, apart(true, GAP), points, strict=True):
        start = (np.log10(x) - left) / (right - left)
        axes.plot([start, 1.015], [at, place], color=LINE, linewidth=0.8, transform=axes.transAxes, clip_on=False)
        axes.text(1.02, place, name, color=colour, transform=axes.transAxes, va="center", fontsize=9)
