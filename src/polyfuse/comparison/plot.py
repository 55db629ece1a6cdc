"""The metric of every fusion and single input against what its training cost, as inline SVG that a phone can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from polyfuse.evaluation.figures import ACCENT, INK, LINE, WARN, empty_plot, short_number, spread_apart, to_svg
from polyfuse.evaluation.glossary import format_value, term

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from polyfuse.comparison.findings import Comparison, Line

WIDTH = 4.7  # inches: the page gives a phone about as many pixels as this has points, so that text stays readable
GAP = 13.5  # points between names
FAR = 8.0  # quartile ranges from the middle half beyond which a line stands at the edge
LOGARITHMIC = 3.0  # ratio of the longest to the shortest training above which seconds are logarithmic


@dataclass(frozen=True)
class Point:
    """A line of the comparison as it is drawn.

    Args:
        x, y: seconds and metric.
        interval: 95 % interval of the metric.
        completed: its training came to its end.
    """

    name: str
    x: float
    y: float
    interval: tuple[float, float] | None
    completed: bool
    colour: str


def cost(comparison: Comparison) -> str:
    """A point per line with its interval; names at the right, joined to their points.

    What is far from all others, as a training that was stopped early may be, stands at the edge as a triangle, with
    its value beside its name, so that the others stay apart.
    """
    points = [_point(comparison, line) for line in [*comparison.fusions, *comparison.single] if line.found is not None]
    low, high = window(points)
    if term(comparison.metric).percent:
        high = min(high, 1.02)
    height = max(3.2, (len(points) + 3) * GAP / 72 + 0.6)
    figure, axes, _ = empty_plot(size=(WIDTH, height))
    figure.subplots_adjust(left=0.135, right=0.6, top=0.98, bottom=0.5 / height)
    axes.set_ylim(low, high)
    for point in points:
        _draw(axes, point, low, high)
    _label(axes, comparison, points)
    _name(axes, points, comparison.metric, GAP / 72 / (0.98 * height - 0.5))
    return to_svg(figure, f"{comparison.output} against seconds of training")


def _point(comparison: Comparison, line: Line) -> Point:
    assert line.found
    colour = ACCENT if line.name == comparison.best else INK
    colour = WARN if line in comparison.single else colour
    seconds = max(line.mean("train_seconds") or 0.0, 1e-2)
    return Point(line.name, seconds, line.found.value, line.found.interval, line.completed, colour)


def window(points: Sequence[Point]) -> tuple[float, float]:
    """The range of the metric that is drawn: of completed trainings, and without those far from all others."""
    chosen = [point for point in points if point.completed] or list(points)
    values = np.array([point.y for point in chosen])
    first, last = np.quantile(values, [0.25, 0.75])
    room = FAR * max(last - first, 0.01 * abs(last), 1e-9)
    near = [point for point in chosen if first - room <= point.y <= last + room]
    ends = [end for point in near for end in (point.y, *(point.interval or ()))]
    ends = [min(max(end, first - room), last + room) for end in ends]
    margin = 0.06 * (max(ends) - min(ends)) or 0.05 * abs(ends[0]) or 1.0
    return float(min(ends) - margin), float(max(ends) + margin)


def _draw(axes: Axes, point: Point, low: float, high: float) -> None:
    alpha = 1.0 if point.completed else 0.45
    if low <= point.y <= high:
        if point.interval:
            axes.vlines(point.x, *np.clip(point.interval, low, high), color=point.colour, linewidth=1.4, alpha=0.5)
        axes.scatter([point.x], [point.y], s=26, color=point.colour, zorder=3, alpha=alpha)
        return
    below, inset = point.y < low, 0.015 * (high - low)
    place, marker = (low + inset, "v") if below else (high - inset, "^")
    axes.scatter([point.x], [place], s=34, color=point.colour, marker=marker, zorder=3, alpha=alpha, clip_on=False)


def _label(axes: Axes, comparison: Comparison, points: Sequence[Point]) -> None:
    """Axes with few ticks, and what they count."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    metric, seconds = term(comparison.metric), [point.x for point in points]
    better = "" if metric.higher else " (lower is better)"
    logarithmic = max(seconds) > LOGARITHMIC * min(seconds)
    if logarithmic:
        axes.set_xscale("log")
        decades = np.log10(max(seconds) / min(seconds))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 1.6 else (1,), numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(min(seconds) / 1.25, max(seconds) * 1.25)
    else:
        margin = 0.08 * (max(seconds) - min(seconds)) or 0.1 * seconds[0]
        axes.set_xlim(min(seconds) - margin, max(seconds) + margin)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set(xlabel=f"seconds of one training{', log scale' if logarithmic else ''}", ylabel=f"{metric.title}{better}")
    axes.xaxis.set_major_formatter(lambda v, _: short_number(v))
    axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.3g} %" if metric.percent else short_number(v))


def _name(axes: Axes, points: Sequence[Point], metric: str, gap: float) -> None:
    """Names beside the plot, the value with those that stand at an edge."""
    low, high = axes.get_ylim()
    points = sorted(points, key=lambda point: point.y)
    true = [float(np.clip((point.y - low) / (high - low), 0, 1)) for point in points]
    for at, place, point in zip(true, spread_apart(true, min(gap, 1 / max(1, len(points) - 1))), points, strict=True):
        start = axes.transAxes.inverted().transform(axes.transData.transform((point.x, low)))[0]
        axes.plot([start, 1.03], [at, place], color=LINE, linewidth=0.8, transform=axes.transAxes, clip_on=False)
        beyond = "" if low <= point.y <= high else f" {format_value(metric, point.y)}"
        text = f"{point.name}{beyond}"
        axes.text(1.045, place, text, color=point.colour, transform=axes.transAxes, va="center", fontsize=9.5)
